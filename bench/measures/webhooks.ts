/** What webhooks cost the settling of events, and how fast one API delivers them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'mysql2/promise';
import { startReceiver } from '../../test/support/receiver.ts';
import type { Contender, Session } from '../contenders/contender.ts';
import type { Subject } from '../lib/rounds.ts';
import { backlog, watch } from './drain.ts';

const events = 14_000;
/** Of one API at the same time, to one endpoint each. */
const receivers = 10;

export function webhookSubjects(ours: Contender, seconds: number): Subject[] {
  return [
    { name: 'settled, no endpoint', round: () => settled(ours, 0, seconds) },
    { name: 'settled, one endpoint', round: () => settled(ours, 1, seconds) },
    { name: 'settled, ten endpoints', round: () => settled(ours, 10, seconds) },
    { name: 'delivered, to one endpoint', round: () => delivered(ours, 1, seconds) },
    { name: 'delivered, to ten endpoints', round: () => delivered(ours, receivers, seconds) },
  ];
}

/** Nobody sends meanwhile: what is measured is the writing of deliveries. */
async function settled(ours: Contender, endpoints: number, seconds: number): Promise<Record<string, number>> {
  await using session = await ours.open();
  await backlog(session, events);
  for (let i = 0; i < endpoints; i++) await register(session.database, i, 'http://127.0.0.1:1/');
  const workers = await session.startWorkers({ workers: 1, concurrency: 50 });
  try {
    return { '/s': (await watch(session, seconds, workers)).rate };
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}

/** From deliveries that are due, to receivers that answer at once. */
async function delivered(ours: Contender, endpoints: number, seconds: number): Promise<Record<string, number>> {
  await using session = await ours.open({ WEBHOOK_ALLOW: '127.0.0.1' });
  await backlog(session, 1_000);
  await using receiver = await startReceiver();
  for (let i = 0; i < endpoints; i++) await register(session.database, i, receiver.url);
  await writeDeliveries(session);
  const api = await session.startApi();
  await delay(2_000);
  const [from, began] = [receiver.received.length, performance.now()];
  await delay(seconds * 1_000);
  const rate = (receiver.received.length - from) / ((performance.now() - began) / 1_000);
  await api.stop();
  return { '/s': rate };
}

async function register(database: Pool, i: number, url: string): Promise<void> {
  await database.query(
    `INSERT INTO webhook_endpoints (endpoint_id, url, types, secret, state, created_at, updated_at)
     VALUES (?, ?, 'conversation.processed', ?, 'enabled', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`,
    [`ep_bench${String(i).padStart(7, '0')}`, url, `whsec_${Buffer.alloc(24, i).toString('base64')}`],
  );
}

/** Thirty of each event for each endpoint: more than can be sent while it is measured. */
async function writeDeliveries({ database }: Session): Promise<void> {
  for (let i = 0; i < 30; i++)
    await database.query(
      `INSERT INTO webhook_deliveries (endpoint_id, event_id, type, state, next_attempt_at, created_at)
       SELECT endpoint_id, event_id, 'conversation.processed', 'PENDING', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
       FROM conversation_events CROSS JOIN webhook_endpoints`,
    );
}
