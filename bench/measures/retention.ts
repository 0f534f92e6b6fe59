/** What it costs to accept and settle while old texts and events are removed: all in one database, in turns. */
import { setTimeout as delay } from 'node:timers/promises';
import { firstEventIdAt } from '../../src/event/event.ts';
import { type Member, startMember } from '../../test/support/member.ts';
import { createNamespace, type Namespace } from '../../test/support/namespace.ts';
import { scorers } from '../contenders/scorers.ts';
import { load, warmLoad } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Subject } from '../lib/rounds.ts';

/** Of a million rows: half of them events, half of them texts. */
const oldEvents = 500_000;
const textBytes = 1_500;
const jobs = { 'while texts go': 'text-retention', 'while events go': 'event-retention' } as const;

export type Retention = { readonly subjects: readonly Subject[]; close(): Promise<void> };

/** One database for all rounds: a million rows take a while to make. */
export async function openRetention(urls: Urls, seconds: number): Promise<Retention> {
  const space = await createNamespace(urls, {
    LOG_LEVEL: 'warn',
    RELAY_INTERVAL_MS: '1000',
    SCORER_MODULE: scorers['no-op'] ?? '',
    MAINTENANCE_SCHEDULE: 'off',
  });
  await fillOld(space);
  const api = await startMember('api', space.env);
  const worker = await startMember('worker', { ...space.env, MESSAGE_CONCURRENCY_PER_WORKER: '50' });
  await warmLoad(api.url, 2);
  return {
    subjects: [
      { name: 'undisturbed', round: () => acceptAndSettle(space, api, seconds) },
      ...Object.entries(jobs).map(([name, job]) => ({ name, round: () => meanwhile(space, api, job, seconds) })),
    ],
    async close() {
      await api.stop();
      await worker.stop();
      await space.dispose();
    },
  };
}

async function meanwhile(space: Namespace, api: Member, job: string, seconds: number): Promise<Record<string, number>> {
  const before = await left(space);
  const env = { ...space.env, TEXT_RETENTION_DAYS: '30', EVENT_RETENTION_DAYS: '30' };
  const running = await startMember('jobs', env, { args: ['run', job], mayDie: true, waitsForReady: false });
  const began = performance.now();
  await delay(1_000);
  const figures = await acceptAndSettle(space, api, seconds);
  running.signal('SIGTERM');
  await running.ended;
  const took = (performance.now() - began) / 1_000;
  return { ...figures, 'removed/s': (before - (await left(space))) / took };
}

/** A closed loop of a hundred clients, and one worker. */
export async function acceptAndSettle(space: Namespace, api: Member, seconds: number): Promise<Record<string, number>> {
  const from = firstEventIdAt(new Date());
  const began = performance.now();
  const { '/s': accepted, 'p99 ms': p99 } = await load(api.url, seconds);
  const took = (performance.now() - began) / 1_000;
  const [rows] = await space.database.query(
    "SELECT COUNT(*) AS n FROM conversation_events WHERE status = 'PROCESSED' AND event_id >= ?",
    [from],
  );
  const settled = Number((rows as { n: number }[])[0]?.n) / took;
  // The next one begins without a backlog.
  while ((await open(space)) > 0) await delay(100);
  return { 'accepted/s': accepted, 'p99 ms': p99, 'settled/s': settled };
}

async function open(space: Namespace): Promise<number> {
  const [rows] = await space.database.query(
    "SELECT COUNT(*) AS n FROM conversation_events WHERE status IN ('PENDING', 'PROCESSING')",
  );
  return Number((rows as { n: number }[])[0]?.n);
}

/** Old rows. */
async function left(space: Namespace): Promise<number> {
  const bound = firstEventIdAt(new Date(Date.now() - 30 * 86_400_000));
  const [rows] = await space.database.query(
    `SELECT (SELECT COUNT(*) FROM conversation_events WHERE event_id < ?) +
       (SELECT COUNT(*) FROM conversation_logs WHERE event_id < ?) AS n`,
    [bound, bound],
  );
  return Number((rows as { n: number }[])[0]?.n);
}

async function fillOld({ database }: Namespace): Promise<void> {
  const at = firstEventIdAt(new Date(Date.now() - 400 * 86_400_000)).slice(0, 13);
  const id = `CONCAT('${at}-7', LPAD(HEX(m.i), 3, '0'), '-8000-', LPAD(HEX(n.i), 12, '0'))`;
  const numbers = (name: string, n: number) =>
    `${name} AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM ${name} WHERE i < ${n - 1})`;
  for (let first = 0; first < oldEvents / 1_000; first += 50) {
    const some = `WITH RECURSIVE ${numbers('n', 1_000)}, ${numbers('k', 50)},
      m AS (SELECT i + ${first} AS i FROM k)`;
    await database.query(
      `INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, agent_tag,
         start_time, end_time, request_digest, status, friendship_score_change, new_friendship_level, processed_at,
         score_calculation_details, created_at, updated_at)
       ${some} SELECT ${id}, CONCAT('old_', m.i, '_', n.i), CONCAT('user_old_', n.i), 'TALK', 'b', 'B', 'pets',
         '2020-01-01', '2020-01-02', REPEAT('x', 32), 'PROCESSED', 10, 'PHASE1_STRANGER', '2020-01-02',
         '{"scorer": "friendship@2", "total_turns": 3}', '2020-01-02', '2020-01-02' FROM m CROSS JOIN n`,
    );
    await database.query(
      `INSERT INTO conversation_logs (event_id, conversation_log)
       ${some} SELECT ${id}, REPEAT('x', ${textBytes}) FROM m CROSS JOIN n`,
    );
  }
}
