/** Events per second drained from a backlog, by workers with nothing else to do. */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { createNamespace } from '../../test/support/namespace.ts';
import type { Contender, Session, Workload } from '../contenders/contender.ts';
import { burnEnv } from '../contenders/scorers.ts';
import { type CpuOfEach, cpuOfEach } from '../lib/cpu.ts';
import { fill } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import { type Process, startProcess } from '../lib/process.ts';
import type { Subject } from '../lib/rounds.ts';
import { consumeRate, settleRate } from './floors.ts';

/** Time for code to be compiled and connections to be warm. */
const warmMs = 1_500;
const pollMs = 200;

/** The result of a drain: events per second, and CPU per event. */
export type Drained = { readonly rate: number; readonly cpu: CpuOfEach };

/**
 * Measures between the warm-up and the last twentieth of the backlog, for at most `seconds`. The whole backlog is in
 * the queue, confirmed, before the first worker starts.
 */
export async function drain(
  contender: Contender,
  workload: Workload,
  {
    events,
    seconds,
    env = {},
  }: { readonly events: number; readonly seconds: number; readonly env?: Record<string, string> },
): Promise<Drained> {
  for (let size = events; ; size *= 2) {
    await using session = await contender.open(env);
    await backlog(session, size);
    const workers = await session.startWorkers(workload);
    try {
      return await watch(session, seconds, workers);
    } catch (error) {
      if (!(error instanceof TooSmall)) throw error;
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  }
}

export async function drainRate(...args: Parameters<typeof drain>): Promise<number> {
  return (await drain(...args)).rate;
}

export async function backlog(session: Session, events: number): Promise<void> {
  const api = await session.startApi();
  await fill(api.url, events);
  await session.queued(events);
  await api.stop();
}

/** Counts the events still open: an index scan, so only for few rows (otherwise `watchProcessed`). */
export async function watch(session: Session, seconds: number, workers: readonly Process[]): Promise<Drained> {
  const all = await session.open();
  while ((await session.open()) === all) await delay(pollMs);
  await delay(warmMs);
  const began = performance.now();
  const from = await session.open();
  if (from < all * 0.3) throw new TooSmall(all);
  let rate = Number.NaN;
  const cpu = await cpuOfEach(
    workers.map(({ pid }) => pid),
    async () => {
      for (;;) {
        await delay(pollMs);
        const elapsed = (performance.now() - began) / 1_000;
        const open = await session.open();
        rate = (from - open) / elapsed;
        if (open <= all * 0.05 || elapsed >= seconds) return from - open;
      }
    },
  );
  return { rate, cpu };
}

/** The same for a long backlog that is hardly drained: counting its open events would take longer than draining. */
export async function watchProcessed(session: Session, seconds: number): Promise<number> {
  const done = await session.processed();
  while ((await session.processed()) === done) await delay(pollMs);
  await delay(warmMs);
  const began = performance.now();
  const from = await session.processed();
  await delay(seconds * 1_000);
  return ((await session.processed()) - from) / ((performance.now() - began) / 1_000);
}

/** Most of the backlog was drained before the warm-up ended. */
class TooSmall extends Error {
  override readonly name = 'TooSmall';
  constructor(events: number) {
    super(`a backlog of ${events} is too small for this machine`);
  }
}

const drainSettings = [1, 2, 4].flatMap((workers) => [10, 50].map((concurrency) => ({ workers, concurrency })));

export function drainSubjects(urls: Urls, ours: Contender, peers: readonly Contender[], seconds: number): Subject[] {
  const peerSettings = drainSettings.filter(
    ({ workers, concurrency }) => workers === 1 || (workers === 4 && concurrency === 10),
  );
  return [
    { name: 'consume + ack', round: async () => ({ '/s': await consumeRate(urls.rabbitmq, 60_000) }) },
    {
      name: 'batched settle',
      async round() {
        const space = await createNamespace(urls);
        const rate = await settleRate(space.env['DATABASE_URL'] ?? '', 30_000);
        await space.dispose();
        return { '/s': rate };
      },
    },
    ...drainSettings.map((setting) =>
      subject(ours, setting, { events: setting.concurrency === 10 ? 14_000 : 24_000, seconds }),
    ),
    ...peers.flatMap((peer) =>
      peerSettings
        // A Celery worker is one process per unit of concurrency: 50 of them would only contend for the cores.
        .filter(({ workers, concurrency }) => !peer.name.startsWith('Celery') || (workers === 1 && concurrency === 10))
        .map((setting) => subject(peer, setting, { events: peer.name.startsWith('Celery') ? 4_000 : 8_000, seconds })),
    ),
  ];
}

function subject(contender: Contender, setting: Workload, options: { events: number; seconds: number }): Subject {
  return {
    name: `${contender.name} ${setting.workers} x ${setting.concurrency}`,
    round: async () => ({ '/s': await drainRate(contender, setting, options) }),
  };
}

/** With a scorer that uses CPU. The limit is what the cores allow: the scorer alone, one thread per core. */
export function scoringSubjects(ours: Contender, plain: Contender, seconds: number): Subject[] {
  return [1, 5, 20].flatMap((burnMs) => {
    const events = Math.ceil(Math.min((availableParallelism() * 1_000) / burnMs, 3_000) * (seconds + 4));
    return [
      {
        name: `scorer alone, ${burnMs} ms`,
        async round() {
          // It reports its count in place of a URL.
          const alone = await startProcess('peers/scorer-alone.ts', [String(seconds)], burnEnv(burnMs));
          await alone.stop();
          return { '/s': Number(alone.url) };
        },
      },
      ...[ours, plain].map((contender) => ({
        name: `${contender.name}, ${burnMs} ms`,
        round: async () => ({
          '/s': await drainRate(contender, { workers: 1, concurrency: 50, burnMs }, { events, seconds: seconds * 2 }),
        }),
      })),
    ];
  });
}
