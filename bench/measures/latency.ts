/** From the moment a request is due to its 202 and to its processed row, in an open loop at shares of the measured capacity. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import type { Contender, Session } from '../lib/contenders.ts';
import { load } from '../lib/load.ts';
import { openLoop, type Sent } from '../lib/open-loop.ts';
import type { Subject } from '../lib/rounds.ts';
import { percentile } from '../lib/stats.ts';

const shares = [0.25, 0.5, 0.8] as const;
const workload = { workers: 1, concurrency: 50 };

export function latencySubjects(ours: Contender, seconds: number): Subject[] {
  let capacity = Number.NaN;
  return [
    {
      name: 'capacity, accept to processed',
      async round() {
        // Each share of a round relates to the capacity of the same round.
        capacity = await endToEnd(ours, seconds);
        return { '/s': capacity };
      },
    },
    ...shares.map((share) => ({ name: `at ${share * 100} %`, round: () => latencyAt(ours, capacity * share, seconds) })),
  ];
}

/** Closed loop with a worker beside the API, until the last event is processed. */
async function endToEnd(ours: Contender, seconds: number): Promise<number> {
  await using session = await ours.open();
  const [api, [worker]] = await Promise.all([session.startApi(), session.startWorkers(workload)]);
  await load(api.url, 2);
  const before = await settled(session);
  const began = performance.now();
  await load(api.url, seconds);
  const after = await settled(session);
  const rate = (after - before) / ((performance.now() - began) / 1_000);
  await Promise.all([api.stop(), worker?.stop()]);
  return rate;
}

/** Waits until everything that was accepted is processed. @returns how many. */
async function settled(session: Session): Promise<number> {
  while ((await session.open()) > 0) await delay(100);
  return session.processed();
}

async function latencyAt(ours: Contender, rate: number, seconds: number): Promise<Record<string, number>> {
  await using session = await ours.open();
  const [api, [worker]] = await Promise.all([session.startApi(), session.startWorkers(workload)]);
  await load(api.url, 2); // warm
  await settled(session);
  const sent = await openLoop(api.url, rate, seconds);
  await settled(session);
  const waits = await processedAfter(session, sent);
  await Promise.all([api.stop(), worker?.stop()]);
  const answers = sent.map((s) => s.answeredMs);
  return {
    '/s': rate,
    '202 p50 ms': percentile(answers, 0.5),
    '202 p99 ms': percentile(answers, 0.99),
    'processed p50 ms': percentile(waits, 0.5),
    'processed p99 ms': percentile(waits, 0.99),
  };
}

/** Milliseconds from due to `processed_at`; the database's clock is this machine's. */
async function processedAfter(session: Session, sent: readonly Sent[]): Promise<number[]> {
  const dueAt = new Map(sent.map((s) => [s.conversationId, s.dueAt]));
  const [rows] = await session.database.query<RowDataPacket[]>(
    "SELECT conversation_id, processed_at FROM conversation_events WHERE status = 'PROCESSED'",
  );
  const waits = rows.flatMap((row) => {
    const due = dueAt.get(String(row['conversation_id']));
    return due === undefined ? [] : [(row['processed_at'] as Date).getTime() - due];
  });
  if (waits.length !== sent.length) throw new Error(`${sent.length} were accepted and ${waits.length} are processed`);
  return waits;
}
