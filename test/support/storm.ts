import { setTimeout as delay } from 'node:timers/promises';
import { vi } from 'vitest';
import { faults } from '../faults/catalogue/index.ts';
import { call } from './client.ts';
import type { Fleet } from './fleet.ts';
import { type Proof, prove } from './proof.ts';
import { startTraffic, type Traffic } from './traffic.ts';

export type Storm = {
  readonly proof: Proof;
  readonly traffic: Traffic;
  /** How often each fault struck. */
  readonly struck: ReadonlyMap<string, number>;
  /** Strikes not seen to hit (on a busy machine the check may come too late); what they broke was fixed. */
  readonly unseen: readonly string[];
  /** Processes killed or told to stop in the middle of a fault. */
  readonly hit: { SIGKILL: number; SIGTERM: number };
  readonly seconds: number;
};

/**
 * Runs the catalogue's faults one after another while conversations come in, in an order that `seed` determines; at the
 * worst moment of each, a process of the fleet is killed or told to stop. Each fault strikes once before any strikes
 * twice.
 */
export async function runStorm(
  fleet: Fleet,
  options: {
    readonly seed: number;
    readonly rate: number;
    readonly users: number;
    /** Whether to strike no further fault. */
    readonly enough: (traffic: Traffic, struck: number) => boolean;
    readonly longMs: number;
    readonly restMs: number;
    /** A strike that is not seen to hit is noted, and the storm goes on. */
    readonly goOn: boolean;
    readonly say: (line: string) => void;
  },
): Promise<Storm> {
  const random = seeded(options.seed);
  const stream = `storm${options.seed}`;
  const began = performance.now();
  const traffic = startTraffic({ url: fleet.url, stream, rate: options.rate, users: options.users });
  const failing = new Set<string>();
  const struck = new Map<string, number>();
  const unseen: string[] = [];
  const hit = { SIGKILL: 0, SIGTERM: 0 };
  let lettersSince = new Date(0);
  let n = 0;
  const posts = [fleet.api, ...fleet.workers];
  /** A second signal would end a draining process at once. */
  const leaving: (Promise<unknown> | undefined)[] = [];
  const whileBroken = async () => {
    const signal = random() < 0.5 ? 'SIGKILL' : 'SIGTERM';
    hit[signal]++;
    const member = posts[Math.floor(random() * posts.length)]?.member;
    member?.signal(signal);
    leaving.push(member?.ended);
  };

  await traffic.more(20);
  for (
    let round = shuffled(faults, random);
    !options.enough(traffic, n);
    round = round.length > 0 ? round : shuffled(faults, random)
  ) {
    const [fault] = round.splice(0, 1);
    if (!fault) continue;
    // Faults strike a fleet that works and is not far behind: only then can they be seen to hit.
    await Promise.all(leaving.splice(0));
    await fleet.healthy();
    await caughtUp(fleet, traffic);
    options.say(
      `${((performance.now() - began) / 1_000).toFixed(0)} s, ${traffic.accepted.size} accepted: ${fault.name}`,
    );
    const scene = {
      fleet,
      traffic,
      stream: `${stream}_s${n++}`,
      users: `${stream}\\_user%`,
      whileBroken,
      failing,
      longMs: options.longMs,
    };
    try {
      await fault.strike(scene);
    } catch (error) {
      if (!options.goOn) throw error;
      unseen.push(fault.name);
      options.say(`not seen to hit: ${(error as Error).message.split('\n')[0]}`);
      await mend(fleet);
    }
    if (fault.name.includes('without its data')) lettersSince = new Date();
    struck.set(fault.name, (struck.get(fault.name) ?? 0) + 1);
    await delay(random() * 1_000);
  }
  await traffic.stop();
  const proof = await prove(fleet, traffic, stream, { failing, lettersSince, restMs: options.restMs, replays: 500 });
  return { proof, traffic, struck, unseen, hit, seconds: (performance.now() - began) / 1_000 };
}

/** After an outage, holds back new conversations until the fleet has nearly caught up. */
async function caughtUp(fleet: Fleet, traffic: Traffic): Promise<void> {
  const waiting = async () => Number((await call(fleet.url, 'GET', '/health/detailed')).body.messages_waiting ?? 0);
  if ((await waiting()) < 2_000) return;
  traffic.pause();
  await vi.waitUntil(async () => (await waiting()) < 200, { timeout: 300_000, interval: 200 });
  traffic.resume();
}

/** Undoes what a fault that stopped halfway may have left behind. */
async function mend({ network, servers, space, livingWorkers }: Fleet): Promise<void> {
  await Promise.all([network.database.restore(), network.broker.restore()]);
  for (const worker of livingWorkers()) worker.signal('SIGCONT');
  await space.database.query('SET GLOBAL read_only = 0');
  await space.database.query('DROP TRIGGER IF EXISTS failing');
  await servers.broker.ctl('set_vm_memory_high_watermark', '0.4');
  await servers.broker.ctl('clear_policy', 'full').catch(() => {}); // there may be none
}

/** mulberry32: small, good enough to choose by, the same everywhere. */
function seeded(seed: number): () => number {
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
