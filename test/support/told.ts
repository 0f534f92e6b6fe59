import type { RowDataPacket } from 'mysql2/promise';
import { Webhook } from 'standardwebhooks';
import { expect, vi } from 'vitest';
import { call, conversation, post, rows } from './client.ts';
import type { Fleet } from './fleet.ts';
import type { Receiver } from './receiver.ts';

/** An endpoint of a fleet, and who listens there. */
export type Listener = { readonly id: string; readonly secret: string; readonly receiver: Receiver };

/** Twice as many as the workers of a fleet take at the same moment. */
const few = 40;
const types = ['conversation.processed', 'conversation.failed'];

/** Registers both, and waits until every worker writes what is to be told. */
export async function registerListeners(fleet: Fleet, receivers: readonly Receiver[]): Promise<Listener[]> {
  const listeners: Listener[] = [];
  for (const receiver of receivers) {
    const { status, body } = await call(fleet.url, 'POST', '/v1/webhooks', { url: receiver.url, types });
    expect(status).toBe(201);
    listeners.push({ id: body.endpoint_id, secret: body.secret, receiver });
  }
  // Workers look every two seconds, and take turns: when all of the last few are told, each of them knows.
  await vi.waitFor(
    async () => {
      await Promise.all(Array.from({ length: few / 2 }, () => post(fleet.url, conversation())));
      const told = await rows<{ isTold: number }>(
        fleet.space.database,
        `SELECT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.event_id) AS isTold
         FROM conversation_events e WHERE status IN ('PROCESSED', 'FAILED') ORDER BY processed_at DESC LIMIT ${few}`,
      );
      expect(told.map(({ isTold }) => isTold)).toEqual(Array(few).fill(1));
    },
    { timeout: 60_000, interval: 1_000 },
  );
  return listeners;
}

/**
 * As if this many hours had passed for everything that waits for its next attempt, but for what a process holds that is
 * frozen in the middle of a transaction.
 */
export async function passHours(fleet: Fleet, hours: number): Promise<void> {
  const connection = await fleet.space.database.getConnection();
  try {
    await connection.beginTransaction();
    const [due] = await connection.query<RowDataPacket[]>(
      'SELECT delivery_id FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL FOR UPDATE SKIP LOCKED',
    );
    if (due.length > 0)
      await connection.query(
        'UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at - INTERVAL ? SECOND WHERE delivery_id IN (?)',
        [hours * 3_600, due.map((row) => row['delivery_id'])],
      );
    await connection.commit();
  } finally {
    connection.release();
  }
}

/** Waits until nothing is left to be told, while a day passes again and again. */
export async function untilTold(fleet: Fleet): Promise<void> {
  await vi.waitFor(
    async () => {
      await passHours(fleet, 24);
      expect(await rows(fleet.space.database, pendingSql)).toEqual([]);
    },
    { timeout: 90_000, interval: 1_500 },
  );
}
const pendingSql = "SELECT delivery_id FROM webhook_deliveries WHERE state = 'PENDING' LIMIT 5";

type DeliveryRow = { readonly id: string; readonly eventId: string; readonly type: string; readonly state: string };

/** What the listener has been told of the conversations of one stream. If the promises hold, the lists are empty. */
export async function proveTold(fleet: Fleet, { id, secret, receiver }: Listener, stream: string) {
  const closed = await rows<{ eventId: string; status: string }>(
    fleet.space.database,
    `SELECT event_id AS eventId, status FROM conversation_events
     WHERE status IN ('PROCESSED', 'FAILED') AND conversation_id LIKE ?`,
    [`${stream}\\_%`],
  );
  const deliveries = await rows<DeliveryRow>(
    fleet.space.database,
    `SELECT CONCAT('msg_', d.delivery_id) AS id, d.event_id AS eventId, d.type, d.state
     FROM webhook_deliveries d JOIN conversation_events e USING (event_id)
     WHERE d.endpoint_id = ? AND e.conversation_id LIKE ?`,
    [id, `${stream}\\_%`],
  );
  const byEvent = Map.groupBy(deliveries, (row) => row.eventId);
  const verifier = new Webhook(secret);
  const heard = new Map<string, Set<string>>();
  const forged: string[] = [];
  for (const { headers, body } of receiver.received) {
    const message = String(headers['webhook-id']);
    try {
      verifier.verify(body, headers as Record<string, string>);
    } catch {
      forged.push(message);
    }
    const { data } = JSON.parse(body);
    heard.set(message, (heard.get(message) ?? new Set()).add(data.event_id));
  }
  const wanted = ({ status }: { status: string }) => `conversation.${status.toLowerCase()}`;
  return {
    closed: closed.length,
    /** Closed, but with no delivery, or not with one alone, or with one that says something else. */
    notOnce: closed.filter((event) => {
      const rows = byEvent.get(event.eventId) ?? [];
      return rows.length !== 1 || rows[0]?.type !== wanted(event);
    }),
    undelivered: deliveries.filter((row) => row.state !== 'DELIVERED').map(({ id, state }) => `${id} ${state}`),
    /** Recorded as delivered, but the receiver has not heard of it, or of another conversation. */
    unheard: deliveries.filter((row) => [...(heard.get(row.id) ?? [])].join() !== row.eventId).map((row) => row.id),
    forged,
  };
}
