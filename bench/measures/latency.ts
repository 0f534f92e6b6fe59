/**
 * From the moment a request is due to its 202 and to its processed row, in an open loop at shares of the measured
 * capacity.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Contender, Session } from '../contenders/contender.ts';
import { load } from '../lib/load.ts';
import { openLoop, type Sent } from '../lib/open-loop.ts';
import type { Subject } from '../lib/rounds.ts';
import { percentile } from '../lib/stats.ts';

const shares = [0.25, 0.5, 0.8] as const;
const workload = { workers: 1, concurrency: 50 };
/** Share of the plain pipeline's capacity: the rate at which the two are compared. */
const sameRateShare = 0.8;

/** @param peer  compared with Afterword at one rate that it can sustain. */
export function latencySubjects(ours: Contender, peer: Contender, seconds: number): Subject[] {
  let capacity = Number.NaN;
  let ofPeer = Number.NaN;
  return [
    {
      name: `${peer.name}, capacity`,
      async round() {
        ofPeer = await endToEnd(peer, seconds);
        return { '/s': ofPeer };
      },
    },
    { name: `${peer.name}, at 80 % of its capacity`, round: () => latencyAt(peer, ofPeer * sameRateShare, seconds) },
    { name: `${ours.name}, at the same rate`, round: () => latencyAt(ours, ofPeer * sameRateShare, seconds) },
    {
      name: 'capacity, accept to processed',
      async round() {
        // Each share in a round is of the capacity measured in the same round.
        capacity = await endToEnd(ours, seconds);
        return { '/s': capacity };
      },
    },
    ...shares.map((share) => ({
      name: `at ${share * 100} %`,
      round: () => latencyAt(ours, capacity * share, seconds),
    })),
  ];
}

/** Closed loop with a worker next to the API, until the last event is processed. */
async function endToEnd(contender: Contender, seconds: number): Promise<number> {
  await using session = await contender.open();
  // One after the other: each process of the plain pipeline creates the tables that are missing.
  const api = await session.startApi();
  const [worker] = await session.startWorkers(workload);
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

async function latencyAt(contender: Contender, rate: number, seconds: number): Promise<Record<string, number>> {
  await using session = await contender.open();
  const api = await session.startApi();
  const [worker] = await session.startWorkers(workload);
  await load(api.url, 2); // warm-up
  await settled(session);
  const sent = await openLoop(api.url, rate, seconds);
  await settled(session);
  const processedAt = await session.processedAt();
  await Promise.all([api.stop(), worker?.stop()]);
  const answers = sent.map((s) => s.answeredMs);
  const waits = processedAt === null ? null : waitsOf(sent, processedAt);
  return {
    '/s': rate,
    '202 p50 ms': percentile(answers, 0.5),
    '202 p99 ms': percentile(answers, 0.99),
    ...(waits && { 'processed p50 ms': percentile(waits, 0.5), 'processed p99 ms': percentile(waits, 0.99) }),
  };
}

/** Milliseconds from due to processed; the database's clock is this machine's. */
function waitsOf(sent: readonly Sent[], processedAt: ReadonlyMap<string, Date>): number[] {
  return sent.map(({ conversationId, dueAt }) => {
    const at = processedAt.get(conversationId);
    if (at === undefined) throw new Error(`${conversationId} was accepted and is not processed`);
    return at.getTime() - dueAt;
  });
}
