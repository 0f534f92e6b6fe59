import type { EventId, EventPointer } from '../event/event.ts';
import { type Statement, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/**
 * One publication of an event. `dueAt`: the due time that keeps relays off the event meanwhile; null: what its insert
 * set, `graceMs` after `created_at`. Whoever writes another due time has begun something new.
 */
export type Publication = { readonly eventId: EventId; readonly dueAt: Date | null };
/** `maybeQueued`: it was published before and not long ago, and is probably in the queue or in work. */
export type ClaimedEvent = EventPointer & { readonly maybeQueued: boolean };
/** Events that are ours to publish until `dueAt`. */
export type Claimed = { readonly events: readonly ClaimedEvent[]; readonly dueAt: Date };

type Row = {
  event_id: EventId;
  conversation_id: string;
  user_id: string;
  bot_id: string;
  maybe_queued: 0 | 1 | null;
  due_at: Date;
};

/** After this many terms without a settlement an event is published again, whatever is in the queue. */
const mostTermsQueued = 4;

const update = 'UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ? WHERE event_id IN (?)';

/**
 * Claims events that are due and keeps other relays off them for `graceMs`. Locks and reads one index range of due
 * rows, whatever the size of the table; rows that another relay holds are skipped.
 */
export function claimDue(
  store: Store,
  options: {
    readonly limit: number;
    readonly graceMs: number;
    readonly republishAfterMs: number;
    readonly deadlineMs: number;
  },
): Promise<Claimed> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [, rows] = (await connection.batch([
      ['START TRANSACTION'],
      [
        `SELECT event_id, conversation_id, user_id, bot_id, published_at > UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS maybe_queued,
           UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AS due_at
         FROM conversation_events FORCE INDEX (ix_conversation_events_due)
         WHERE next_attempt_at <= UTC_TIMESTAMP(3) ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED`,
        [options.republishAfterMs * mostTermsQueued * 1_000, options.graceMs * 1_000, options.limit],
      ],
    ])) as [unknown, Row[]];
    const dueAt = rows[0]?.due_at ?? new Date(0);
    const keep: Statement[] = rows.length === 0 ? [] : [[update, [dueAt, rows.map((r) => r.event_id)]]];
    await connection.batch([...keep, ['COMMIT']]);
    const events = rows.map((r) => ({
      eventId: r.event_id,
      conversationId: r.conversation_id,
      userId: r.user_id,
      botId: r.bot_id,
      maybeQueued: r.maybe_queued === 1,
    }));
    return { events, dueAt };
  });
}

/**
 * Confirmed events need no relay until `republishAfterMs` have passed. A mark may come late, and means one publication:
 * the row must still have the due time that this one began with. Whoever wrote another one since (an attempt that
 * failed, an operator's retry) has its way, also if that was while this statement waited for the row.
 *
 * @param options.graceMs  as the new events were inserted with.
 */
export function markConfirmed(
  store: Store,
  publications: readonly Publication[],
  options: { readonly graceMs: number; readonly republishAfterMs: number; readonly deadlineMs: number },
): Promise<void> {
  return moveDue(store, publications, 'UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, published_at = UTC_TIMESTAMP(3)', {
    ...options,
    value: options.republishAfterMs * 1_000,
  });
}

/**
 * Leaves claimed events that may be queued alone for another `republishAfterMs`, with the `published_at` that they
 * have.
 */
export function postpone(
  store: Store,
  publications: readonly Publication[],
  options: { readonly graceMs: number; readonly republishAfterMs: number; readonly deadlineMs: number },
): Promise<void> {
  return moveDue(store, publications, 'UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND', {
    ...options,
    value: options.republishAfterMs * 1_000,
  });
}

/**
 * Keeps relays off events whose confirm has not come yet, for another `graceMs`.
 * @returns the due time that these publications have from now on.
 */
export async function extendDue(
  store: Store,
  publications: readonly Publication[],
  options: { readonly graceMs: number; readonly deadlineMs: number },
): Promise<Date> {
  const now = await withConnection(store, options.deadlineMs, (connection) =>
    connection.query<{ due_at: Date }[]>('SELECT UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AS due_at', [
      options.graceMs * 1_000,
    ]),
  );
  const dueAt = now[0]?.due_at ?? new Date(0);
  await moveDue(store, publications, '?', { ...options, value: dueAt });
  return dueAt;
}

/** Sets another due time where a publication's own is still there. */
async function moveDue(
  store: Store,
  publications: readonly Publication[],
  set: string,
  options: { readonly value: number | Date; readonly graceMs: number; readonly deadlineMs: number },
): Promise<void> {
  await withConnection(store, options.deadlineMs, async (connection) => {
    for (const [time, ofOneClaim] of Map.groupBy(publications, ({ dueAt }) => dueAt?.getTime() ?? null)) {
      const [unchanged, value] =
        time === null ? ['created_at + INTERVAL ? MICROSECOND', options.graceMs * 1_000] : ['?', new Date(time)];
      await connection.query(
        `UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ${set} WHERE event_id IN (?) AND next_attempt_at = ${unchanged}`,
        [options.value, ofOneClaim.map(({ eventId }) => eventId).sort(), value],
      );
    }
  });
}

/**
 * Makes events due that were published over `lostAfterMs` ago and that no worker has said it holds since.
 *
 * Due times nearer than `furthestRetryMs` are mostly retries that wait, and are not looked at; published events come
 * there by themselves.
 *
 * @returns how many.
 */
export function makeLostDue(
  store: Store,
  options: {
    readonly lostAfterMs: number;
    readonly furthestRetryMs: number;
    readonly limit: number;
    readonly deadlineMs: number;
  },
): Promise<number> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `UPDATE conversation_events FORCE INDEX (ix_conversation_events_due) SET next_attempt_at = UTC_TIMESTAMP(3), published_at = DEFAULT
       WHERE next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND
         AND published_at > DEFAULT(published_at) AND published_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
         AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       ORDER BY next_attempt_at LIMIT ?`,
      [options.furthestRetryMs * 1_000, options.lostAfterMs * 1_000, options.lostAfterMs * 1_000, options.limit],
    );
    return affectedRows;
  });
}
