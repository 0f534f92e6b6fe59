import type { EventId, EventPointer } from '../event/event.ts';
import { type Statement, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** A published event whose confirm has come. `dueAt`: what its claim set; null if it was published as a new event, whose due time its insert set. */
export type ConfirmMark = { readonly eventId: EventId; readonly dueAt: Date | null };
/** Events that are ours to publish until `dueAt`. */
export type Claimed = { readonly events: readonly EventPointer[]; readonly dueAt: Date };

type Row = { event_id: EventId; conversation_id: string; user_id: string; bot_id: string; due_at: Date };

const update = 'UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ? WHERE event_id IN (?)';

/**
 * Claims events that are due and keeps other relays off them for `graceMs`. Locks and reads one index range of due
 * rows, whatever the size of the table; rows that another relay holds are skipped.
 */
export function claimDue(
  store: Store,
  options: { readonly limit: number; readonly graceMs: number; readonly deadlineMs: number },
): Promise<Claimed> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [, rows] = (await connection.batch([
      ['START TRANSACTION'],
      [
        `SELECT event_id, conversation_id, user_id, bot_id, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AS due_at
         FROM conversation_events FORCE INDEX (ix_conversation_events_due)
         WHERE next_attempt_at <= UTC_TIMESTAMP(3) ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED`,
        [options.graceMs * 1_000, options.limit],
      ],
    ])) as [unknown, Row[]];
    const dueAt = rows[0]?.due_at ?? new Date(0);
    const postpone: Statement[] = rows.length === 0 ? [] : [[update, [dueAt, rows.map((r) => r.event_id)]]];
    await connection.batch([...postpone, ['COMMIT']]);
    const events = rows.map((r) => ({ eventId: r.event_id, conversationId: r.conversation_id, userId: r.user_id, botId: r.bot_id }));
    return { events, dueAt };
  });
}

/**
 * Confirmed events need no relay until `republishAfterMs` have passed. A mark comes late, and means one publication: the row must still
 * have the due time that this one began with. Whoever wrote another one since (an attempt that failed, an operator's retry) has its
 * way, also if that was while this statement waited for the row.
 *
 * @param options.graceMs  as the new events were inserted with.
 */
export async function markConfirmed(
  store: Store,
  marks: readonly ConfirmMark[],
  options: { readonly graceMs: number; readonly republishAfterMs: number; readonly deadlineMs: number },
): Promise<void> {
  await withConnection(store, options.deadlineMs, async (connection) => {
    for (const [time, ofOneClaim] of Map.groupBy(marks, (mark) => mark.dueAt?.getTime() ?? null)) {
      const [unchanged, value] = time === null ? ['created_at + INTERVAL ? MICROSECOND', options.graceMs * 1_000] : ['?', new Date(time)];
      await connection.query(
        `UPDATE conversation_events FORCE INDEX (PRIMARY)
         SET next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE event_id IN (?) AND next_attempt_at = ${unchanged}`,
        [options.republishAfterMs * 1_000, ofOneClaim.map((mark) => mark.eventId).sort(), value],
      );
    }
  });
}

/**
 * Makes events due that were published over `lostAfterMs` ago and that no worker has said it holds since.
 *
 * When an event was published follows from its due time: a confirm sets that to the moment + `republishAfterMs`. Nearer times than
 * `furthestRetryMs` may be retries that wait, and are left alone; published events come there by themselves.
 *
 * @returns how many.
 */
export function makeLostDue(
  store: Store,
  options: {
    readonly lostAfterMs: number;
    readonly republishAfterMs: number;
    readonly furthestRetryMs: number;
    readonly limit: number;
    readonly deadlineMs: number;
  },
): Promise<number> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `UPDATE conversation_events FORCE INDEX (ix_conversation_events_due) SET next_attempt_at = UTC_TIMESTAMP(3)
       WHERE next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AND next_attempt_at <= UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND
         AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       ORDER BY next_attempt_at LIMIT ?`,
      [
        options.furthestRetryMs * 1_000,
        (options.republishAfterMs - options.lostAfterMs) * 1_000,
        options.lostAfterMs * 1_000,
        options.limit,
      ],
    );
    return affectedRows;
  });
}
