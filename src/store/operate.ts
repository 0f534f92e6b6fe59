import { type EventId, type EventStatus, firstEventIdAt } from '../event/event.ts';
import type { Operated } from '../operate/ports.ts';
import { recordAction } from './actions.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import { noteClosed } from './feed.ts';
import type { Store } from './open-store.ts';

/** `actor`: who is recorded to have done it. */
type By = { readonly actor: string; readonly deadlineMs: number };

/**
 * FAILED → PENDING, due at once, with a fresh count of attempts. The last error stays on the row until an attempt
 * succeeds.
 */
const reopen = `status = 'PENDING', attempt_count = 0, suspect_starts = 0, next_attempt_at = UTC_TIMESTAMP(3),
  published_at = DEFAULT, updated_at = UTC_TIMESTAMP(3)`;

export function retryEvent(store: Store, conversationId: string, by: By): Promise<Operated> {
  return move(store, by, conversationId, 'FAILED', async (connection, eventId) => {
    if (!(await hasText(connection, eventId))) return 'no-text';
    await connection.query(`UPDATE conversation_events SET ${reopen} WHERE event_id = ?`, [eventId]);
    await recordAction(connection, { actor: by.actor, kind: 'retry', target: conversationId, value: null });
    return 'done';
  });
}

/** The event is locked, so that nobody removes it now. */
async function hasText(connection: Connection, eventId: EventId): Promise<boolean> {
  const found = await connection.query<unknown[]>('SELECT 1 FROM conversation_logs WHERE event_id = ?', [eventId]);
  return found.length > 0;
}

/** PENDING → SKIPPED: never scored. A delivery already on its way finds a closed row and is dropped as a duplicate. */
export function skipEvent(
  store: Store,
  conversationId: string,
  reason: string,
  by: By & { readonly hasStream: boolean },
): Promise<Operated> {
  return move(store, by, conversationId, 'PENDING', async (connection, eventId) => {
    await connection.query(
      `UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL, error_code = 'SKIPPED',
        error_details = ?,
         updated_at = UTC_TIMESTAMP(3) WHERE event_id = ?`,
      [reason, eventId],
    );
    await recordAction(connection, { actor: by.actor, kind: 'skip', target: conversationId, value: reason });
    if (by.hasStream) await connection.query(...noteClosed([eventId]));
    return 'done';
  });
}

/**
 * Reopens FAILED events, oldest first, after `filter.after`. Continuing from `last` meets no event twice, even if some
 * fail again meanwhile.
 * @returns how many were reopened, at most `limit`, and the last of them.
 */
export function retryFailed(
  store: Store,
  filter: { readonly errorCode?: string; readonly before?: Date; readonly after?: EventId },
  options: By & { readonly limit: number },
): Promise<{ readonly retried: number; readonly last: EventId | null }> {
  return inTransaction(store, options.deadlineMs, async (connection) => {
    // Without its text there is nothing to score.
    const conditions = [
      "status = 'FAILED'",
      'EXISTS (SELECT 1 FROM conversation_logs l WHERE l.event_id = conversation_events.event_id)',
    ];
    const params: unknown[] = [];
    if (filter.errorCode !== undefined) {
      conditions.push('error_code = ?');
      params.push(filter.errorCode);
    }
    if (filter.before !== undefined) {
      conditions.push('created_at < ?');
      params.push(filter.before);
    }
    if (filter.after !== undefined) {
      conditions.push('event_id > ?');
      params.push(filter.after);
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
      const target = filter.errorCode ?? 'every FAILED event';
      await recordAction(connection, {
        actor: options.actor,
        kind: 'retry-failed',
        target,
        value: String(rows.length),
      });
    }
    return { retried: rows.length, last: rows.at(-1)?.event_id ?? null };
  });
}

function move(
  store: Store,
  { deadlineMs }: By,
  conversationId: string,
  from: EventStatus,
  write: (connection: Connection, eventId: EventId) => Promise<'done' | 'no-text'>,
): Promise<Operated> {
  return inTransaction(store, deadlineMs, async (connection): Promise<Operated> => {
    const [row] = await connection.query<{ event_id: EventId; status: EventStatus }[]>(
      'SELECT event_id, status FROM conversation_events WHERE conversation_id = ? FOR UPDATE',
      [conversationId],
    );
    if (!row) return { kind: 'not-found' };
    if (row.status !== from) return { kind: 'wrong-state', status: row.status };
    const kind = await write(connection, row.event_id);
    return kind === 'no-text' ? { kind } : { kind, eventId: row.event_id };
  });
}

/** Makes an open event due at once, whatever it is waiting for. */
export async function makeDue(store: Store, eventId: EventId, deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(
      `UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3), published_at = DEFAULT WHERE event_id = ?
        AND next_attempt_at > UTC_TIMESTAMP(3)`,
      [eventId],
    ),
  );
}

/**
 * Makes open events that were accepted before `before` due at once, including those that wait for a retry, but not
 * those that a relay is publishing right now (`graceMs`). Visits each event once, in id order: call again with `next`
 * until it is null.
 */
export async function republishOpen(
  store: Store,
  options: {
    readonly status: 'PENDING' | 'PROCESSING';
    readonly after: EventId | null;
    readonly before: Date;
    readonly graceMs: number;
    readonly limit: number;
    readonly deadlineMs: number;
  },
): Promise<{ readonly made: number; readonly next: EventId | null }> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const rows = await connection.query<{ event_id: EventId }[]>(
      `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_status)
       WHERE status = ? AND event_id > ? AND event_id < ? AND created_at <= ? ORDER BY event_id LIMIT ?`,
      // What is scheduled for later stays so.
      [options.status, options.after ?? '', firstEventIdAt(new Date()), options.before, options.limit],
    );
    if (rows.length === 0) return { made: 0, next: null };
    // In primary key order, as settling locks them.
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = UTC_TIMESTAMP(3), published_at = DEFAULT
       WHERE event_id IN (?) AND next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND`,
      [rows.map((r) => r.event_id), options.graceMs * 1_000],
    );
    return { made: affectedRows, next: rows.length === options.limit ? (rows.at(-1)?.event_id ?? null) : null };
  });
}
