import { setTimeout as delay } from 'node:timers/promises';
import { faults } from '../faults/catalogue/index.ts';
import type { Fleet } from './fleet.ts';
import { type Proof, prove } from './proof.ts';
import { startTraffic, type Traffic } from './traffic.ts';

export type Storm = {
  readonly proof: Proof;
  readonly traffic: Traffic;
  /** How often each fault struck. */
  readonly struck: ReadonlyMap<string, number>;
  /** Processes killed or told to stop in the middle of a fault. */
  readonly hit: { SIGKILL: number; SIGTERM: number };
  readonly seconds: number;
};

/**
 * Faults of the catalogue one after another, in an order that follows from `seed`, while conversations come in; at the worst moment of
 * each a process of the fleet is killed or told to stop. Each fault comes once before any comes twice.
 */
export async function runStorm(
  fleet: Fleet,
  options: {
    readonly seed: number;
    readonly rate: number;
    readonly users: number;
    /** True: no further fault. */
    readonly enough: (traffic: Traffic, struck: number) => boolean;
    readonly longMs: number;
    readonly restMs: number;
    readonly say: (line: string) => void;
  },
): Promise<Storm> {
  const random = seeded(options.seed);
  const stream = `storm${options.seed}`;
  const began = performance.now();
  const traffic = startTraffic({ url: fleet.url, stream, rate: options.rate, users: options.users });
  const failing = new Set<string>();
  const struck = new Map<string, number>();
  const hit = { SIGKILL: 0, SIGTERM: 0 };
  let lettersSince = new Date(0);
  let n = 0;
  const posts = [fleet.api, ...fleet.workers];
  const whileBroken = async () => {
    const signal = random() < 0.5 ? 'SIGKILL' : 'SIGTERM';
    hit[signal]++;
    posts[Math.floor(random() * posts.length)]?.member.signal(signal);
  };

  await traffic.more(20);
  for (let round = shuffled(faults, random); !options.enough(traffic, n); round = round.length > 0 ? round : shuffled(faults, random)) {
    const [fault] = round.splice(0, 1);
    if (!fault) continue;
    // A fault is struck at what works: only then can it be seen to strike.
    await fleet.healthy();
    options.say(`${((performance.now() - began) / 1_000).toFixed(0)} s, ${traffic.accepted.size} accepted: ${fault.name}`);
    const scene = { fleet, traffic, stream: `${stream}_s${n++}`, users: `${stream}\\_user%`, whileBroken, failing, longMs: options.longMs };
    await fault.strike(scene);
    if (fault.name.includes('without its data')) lettersSince = new Date();
    struck.set(fault.name, (struck.get(fault.name) ?? 0) + 1);
    await delay(random() * 1_000);
  }
  await traffic.stop();
  const proof = await prove(fleet, traffic, stream, { failing, lettersSince, restMs: options.restMs, replays: 500 });
  return { proof, traffic, struck, hit, seconds: (performance.now() - began) / 1_000 };
}

/** mulberry32: small, good enough to choose by, the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
