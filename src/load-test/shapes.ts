/** How many virtual users there are, how fast they come, and what they do between requests. */
export type LoadShape = {
  readonly users: number;
  /** Users that begin per second, until all are there. */
  readonly spawnRate: number;
  readonly runTimeMs: number;
  /** Least and most pause after each answer, milliseconds. */
  readonly thinkMs: readonly [number, number];
};

const minute = 60_000;
const think = [1_000, 5_000] as const;

export const shapes = {
  /** 100 users at 10 per second, for 5 minutes. */
  ramp: { users: 100, spawnRate: 10, runTimeMs: 5 * minute, thinkMs: think },
  /** 1,000 users at 100 per second, for 5 minutes. */
  stress: { users: 1_000, spawnRate: 100, runTimeMs: 5 * minute, thinkMs: think },
  /** 500 users at once, for a minute. */
  spike: { users: 500, spawnRate: 500, runTimeMs: minute, thinkMs: think },
  steady: { users: 50, spawnRate: 10, runTimeMs: 10 * minute, thinkMs: think },
  soak: { users: 50, spawnRate: 10, runTimeMs: 60 * minute, thinkMs: think },
} as const satisfies Record<string, LoadShape>;

export type ShapeName = keyof typeof shapes;
