import type { EventId, EventStatus } from '../event/event.ts';
import { type Connection, inTransaction } from './connection.ts';
import type { Store } from './open-store.ts';

export type Operated =
  | { readonly kind: 'done'; readonly eventId: EventId }
  | { readonly kind: 'wrong-state'; readonly status: EventStatus }
  | { readonly kind: 'not-found' };

/** FAILED → PENDING, due at once, with a fresh count of attempts. The last error stays on the row until an attempt succeeds. */
const reopen = `status = 'PENDING', attempt_count = 0, suspect_starts = 0, next_attempt_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3)`;

export function retryEvent(store: Store, conversationId: string, deadlineMs: number): Promise<Operated> {
  return move(store, deadlineMs, conversationId, 'FAILED', (connection, eventId) =>
    connection.query(`UPDATE conversation_events SET ${reopen} WHERE event_id = ?`, [eventId]),
  );
}

/** PENDING → SKIPPED: never scored. A delivery that is on its way finds a closed row and is dropped as a duplicate. */
export function skipEvent(store: Store, conversationId: string, reason: string, deadlineMs: number): Promise<Operated> {
  return move(store, deadlineMs, conversationId, 'PENDING', (connection, eventId) =>
    connection.query(
      `UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL, error_code = 'SKIPPED', error_details = ?,
         updated_at = UTC_TIMESTAMP(3) WHERE event_id = ?`,
      [reason, eventId],
    ),
  );
}

/**
 * Reopens FAILED events, oldest first.
 * @returns how many.
 */
export function retryFailed(
  store: Store,
  filter: { readonly errorCode?: string; readonly before?: Date },
  options: { readonly limit: number; readonly deadlineMs: number },
): Promise<number> {
  return inTransaction(store, options.deadlineMs, async (connection) => {
    const conditions = ["status = 'FAILED'"];
    const params: unknown[] = [];
    if (filter.errorCode !== undefined) {
      conditions.push('error_code = ?');
      params.push(filter.errorCode);
    }
    if (filter.before !== undefined) {
      conditions.push('created_at < ?');
      params.push(filter.before);
    }
    const rows = await connection.query<{ event_id: EventId }[]>(
      `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_status)
       WHERE ${conditions.join(' AND ')} ORDER BY event_id LIMIT ? FOR UPDATE SKIP LOCKED`,
      [...params, options.limit],
    );
    if (rows.length > 0) {
      await connection.query(`UPDATE conversation_events FORCE INDEX (PRIMARY) SET ${reopen} WHERE event_id IN (?)`, [
        rows.map((r) => r.event_id),
      ]);
    }
    return rows.length;
  });
}

function move(
  store: Store,
  deadlineMs: number,
  conversationId: string,
  from: EventStatus,
  write: (connection: Connection, eventId: EventId) => Promise<unknown>,
): Promise<Operated> {
  return inTransaction(store, deadlineMs, async (connection): Promise<Operated> => {
    const [row] = await connection.query<{ event_id: EventId; status: EventStatus }[]>(
      'SELECT event_id, status FROM conversation_events WHERE conversation_id = ? FOR UPDATE',
      [conversationId],
    );
    if (!row) return { kind: 'not-found' };
    if (row.status !== from) return { kind: 'wrong-state', status: row.status };
    await write(connection, row.event_id);
    return { kind: 'done', eventId: row.event_id };
  });
}
