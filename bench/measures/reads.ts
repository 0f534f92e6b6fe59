/** What it costs to ask: statuses of processed conversations, and friendships, with and without what an API keeps. */

import { setTimeout as delay } from 'node:timers/promises';
import autocannon from 'autocannon';
import type { RowDataPacket } from 'mysql2/promise';
import type { Contender } from '../contenders/contender.ts';
import type { Subject } from '../lib/rounds.ts';
import { backlog } from './drain.ts';

const events = 2_000;
const connections = 50;
/** Asked for again and again. */
const popular = 200;

export function readSubjects(ours: Contender, seconds: number): Subject[] {
  return ['0', '2'].flatMap((kept) =>
    (['status', 'friendship'] as const).map((what) => ({
      name: `${what}, ${kept === '0' ? 'read each time' : 'kept'}`,
      round: () => asked(ours, what, kept, seconds),
    })),
  );
}

async function asked(
  ours: Contender,
  what: 'status' | 'friendship',
  kept: string,
  seconds: number,
): Promise<Record<string, number>> {
  await using session = await ours.open({ RESPONSE_CACHE_SECONDS: kept });
  await backlog(session, events);
  const workers = await session.startWorkers({ workers: 1, concurrency: 50 });
  while ((await session.open()) > 0) await delay(100);
  await Promise.all(workers.map((worker) => worker.stop()));
  const [rows] = await session.database.query<RowDataPacket[]>(
    `SELECT DISTINCT ${what === 'status' ? 'conversation_id' : 'user_id'} AS id FROM conversation_events LIMIT ?`,
    [popular],
  );
  const paths = rows.map(({ id }) => (what === 'status' ? `/v1/conversations/${id}` : `/v1/users/${id}/friendship`));
  const api = await session.startApi();
  const ask = (duration: number) =>
    autocannon({ url: api.url, connections, duration, requests: paths.map((path) => ({ method: 'GET', path })) });
  await ask(2);
  const result = await ask(seconds);
  await api.stop();
  if (result.non2xx > 0 || result.errors > 0) throw new Error(JSON.stringify(result.statusCodeStats));
  return { '/s': result['2xx'] / result.duration, 'p99 ms': result.latency.p99 };
}
