/** Memory (PSS) at rest and after load, and the time from a worker's start to its first delivery. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import type { Contender, Session } from '../contenders/contender.ts';
import { fill } from '../lib/load.ts';
import { pssMiB } from '../lib/memory.ts';
import { type Process, startProcess } from '../lib/process.ts';
import type { Subject } from '../lib/rounds.ts';
import { backlog } from './drain.ts';

export function memorySubjects(ours: Contender): Subject[] {
  return [
    {
      name: 'bare Node with the same libraries',
      async round() {
        const bare = await startProcess('peers/bare-node.ts', [], {});
        const mib = await pssMiB(bare.pid);
        await bare.stop();
        return { 'MiB at rest': mib };
      },
    },
    { name: 'API and one worker', round: () => together(ours) },
    { name: '10 workers x 10', round: () => tenWorkers(ours) },
    { name: 'a worker starts', round: () => startTime(ours) },
  ];
}

async function together(ours: Contender): Promise<Record<string, number>> {
  await using session = await ours.open();
  const api = await session.startApi();
  const workers = await session.startWorkers({ workers: 1, concurrency: 10 });
  const rest = { 'API MiB at rest': await pssMiB(api.pid), 'worker MiB at rest': await sum(workers) };
  await fill(api.url, 10_000);
  await untilProcessed(session, 10_000);
  const loaded = { 'API MiB after load': await pssMiB(api.pid), 'worker MiB after load': await sum(workers) };
  await Promise.all([api, ...workers].map((p) => p.stop()));
  return { ...rest, ...loaded };
}

/** One thread each: ten workers on a few cores have enough threads (README, "How many"). */
async function tenWorkers(ours: Contender): Promise<Record<string, number>> {
  await using session = await ours.open({ SCORING_THREADS: '1' });
  const workers = await session.startWorkers({ workers: 10, concurrency: 10 });
  const rest = await sum(workers);
  const api = await session.startApi();
  await fill(api.url, 20_000);
  await untilProcessed(session, 20_000);
  await api.stop();
  const loaded = await sum(workers);
  await Promise.all(workers.map((p) => p.stop()));
  return { 'MiB at rest': rest, 'MiB after load': loaded };
}

/** From spawn to the first processed event, with a backlog waiting. */
async function startTime(ours: Contender): Promise<Record<string, number>> {
  await using session = await ours.open();
  await backlog(session, 200);
  const began = performance.timeOrigin + performance.now();
  const workers = await session.startWorkers({ workers: 1, concurrency: 10 });
  await untilProcessed(session, 200);
  const [rows] = await session.database.query<RowDataPacket[]>(
    'SELECT MIN(processed_at) AS at FROM conversation_events',
  );
  const [first] = rows as { at: Date }[];
  await Promise.all(workers.map((p) => p.stop()));
  return { 'ms to the first processed': (first?.at.getTime() ?? Number.NaN) - began };
}

async function sum(processes: readonly Process[]): Promise<number> {
  const each = await Promise.all(processes.map((p) => pssMiB(p.pid)));
  return each.reduce((total, mib) => total + mib, 0);
}

async function untilProcessed(session: Session, n: number): Promise<void> {
  while ((await session.processed()) < n) await delay(50);
}
