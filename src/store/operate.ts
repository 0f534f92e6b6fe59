import type { EventId, EventStatus } from '../event/event.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
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

/** Makes an open event due at once, whatever it waits for. */
export async function makeDue(store: Store, eventId: EventId, deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(
      `UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3) WHERE event_id = ? AND next_attempt_at > UTC_TIMESTAMP(3)`,
      [eventId],
    ),
  );
}

/**
 * Makes open events due at once that were accepted over `olderThanMs` ago, also those that wait for a retry.
 * Reads the due index, which holds open events only.
 *
 * @returns how many, at most `limit`: call again while it is that many.
 */
export async function republishOpen(
  store: Store,
  options: { readonly olderThanMs: number; readonly limit: number; readonly deadlineMs: number },
): Promise<number> {
  const { affectedRows } = await withConnection(store, options.deadlineMs, (connection) =>
    connection.query<{ affectedRows: number }>(
      `UPDATE conversation_events FORCE INDEX (ix_conversation_events_due) SET next_attempt_at = UTC_TIMESTAMP(3)
       WHERE next_attempt_at > UTC_TIMESTAMP(3) AND created_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       ORDER BY next_attempt_at LIMIT ?`,
      [options.olderThanMs * 1_000, options.limit],
    ),
  );
  return affectedRows;
}
