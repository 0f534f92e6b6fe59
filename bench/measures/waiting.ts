/** Scorers that wait for an external service: prefetch is parallelism, for the memory of one thread per core. */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Contender, Workload } from '../contenders/contender.ts';
import { fill } from '../lib/load.ts';
import { pssMiB } from '../lib/memory.ts';
import type { Subject } from '../lib/rounds.ts';
import { drainRate } from './drain.ts';

type Case = {
  readonly name: string;
  readonly events: number;
  readonly workload: Workload & { readonly waitMs: number };
};

/** Events × the wait of each; the fleet holds all of them at once, except in the second case: that takes two rounds. */
const cases: readonly Case[] = [
  { name: '480 x 5 s, 4 x 120', events: 480, workload: { workers: 4, concurrency: 120, waitMs: 5_000 } },
  { name: '80 x 2 s, 4 x 10', events: 80, workload: { workers: 4, concurrency: 10, waitMs: 2_000 } },
  { name: '100 x 5 s, 10 x 10', events: 100, workload: { workers: 10, concurrency: 10, waitMs: 5_000 } },
];

/** Each event uses some CPU and waits a lot. */
const hybrid = { workers: 2, concurrency: 50, waitMs: 500, burnMs: 5 } as const;

export const hybridName = '5 ms of CPU and 500 ms of waiting, 2 x 50';

/** What cores and prefetch allow, in events per second: whichever is less. */
export const hybridLimit = Math.min(
  (availableParallelism() * 1_000) / hybrid.burnMs,
  (hybrid.workers * hybrid.concurrency * 1_000) / (hybrid.waitMs + hybrid.burnMs),
);

/** Seconds that the waiting alone takes. */
export function leastSeconds(name: string): number {
  const found = cases.find((c) => c.name === name);
  if (found === undefined) return Number.NaN;
  const { workers, concurrency, waitMs } = found.workload;
  return (Math.ceil(found.events / (workers * concurrency)) * waitMs) / 1_000;
}

export function waitingSubjects(ours: Contender, peers: readonly Contender[], seconds: number): Subject[] {
  // A Celery worker is one process per unit of concurrency: 480 of them do not fit.
  const contenders = [ours, ...peers.filter(({ name }) => !name.startsWith('Celery'))];
  const events = Math.ceil(hybridLimit * (seconds * 2 + 4));
  return [
    ...cases.flatMap((c) =>
      contenders.map((contender) => ({ name: `${contender.name}, ${c.name}`, round: () => once(contender, c) })),
    ),
    ...contenders.map((contender) => ({
      name: `${contender.name}, ${hybridName}`,
      round: async () => ({ '/s': await drainRate(contender, hybrid, { events, seconds: seconds * 2 }) }),
    })),
  ];
}

/** Sends the events to an idle fleet. Measures seconds from the first request to the last event processed. */
async function once(contender: Contender, { events, workload }: Case): Promise<Record<string, number>> {
  await using session = await contender.open();
  const api = await session.startApi();
  const workers = await session.startWorkers(workload);
  const began = performance.now();
  await fill(api.url, events);
  let most = 0;
  while ((await session.processed()) < events) {
    const each = await Promise.all(workers.map(({ pid }) => pssMiB(pid)));
    most = Math.max(
      most,
      each.reduce((sum, mib) => sum + mib, 0),
    );
    await delay(20);
  }
  const took = (performance.now() - began) / 1_000;
  await Promise.all([api, ...workers].map((p) => p.stop()));
  return { s: took, 'MiB of all workers': most };
}
