/** Lanes in which events are scored, the most urgent first. Each has a queue; all share the fleet. */
export const lanes = ['high', 'normal', 'low'] as const;
export type Lane = (typeof lanes)[number];

/** How often each is served while all have something to do. */
export type LaneWeights = Readonly<Record<Lane, number>>;

/** Puts conversations into a lane by what they are. */
export type LaneRule = {
  readonly field: 'bot_type' | 'bot_id' | 'agent_tag';
  /** The whole value or, followed by `*`, its beginning. */
  readonly value: string;
  readonly lane: Lane;
};
