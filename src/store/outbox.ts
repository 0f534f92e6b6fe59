import type { EventId } from '../event/event.ts';
import type { Claim, Publication } from '../outbox/ports.ts';
import { type Statement, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

type Row = {
  event_id: EventId;
  conversation_id: string;
  user_id: string;
  bot_id: string;
  attempt_count: number;
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
): Promise<Claim> {
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [, rows] = (await connection.batch([
      ['START TRANSACTION'],
      [
        `SELECT event_id, conversation_id, user_id, bot_id, attempt_count,
           published_at > UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS maybe_queued,
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
      attemptCount: r.attempt_count,
      maybeQueued: r.maybe_queued === 1,
    }));
    return { events, dueAt };
  });
}

type Times = { readonly graceMs: number; readonly deadlineMs: number };

/**
 * The broker has these publications: relays leave their events alone for `republishAfterMs`.
 *
 * A mark may come late, and is about one publication only. A row that was written since (an attempt that failed, an
 * operator's retry) is not touched, nor is one that is being written now: whoever holds it settles the event or wants it
 * published again.
 *
 * @param options.graceMs  as the new events were inserted with.
 */
export async function markConfirmed(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly republishAfterMs: number },
): Promise<void> {
  const also = ', published_at = UTC_TIMESTAMP(3)';
  await moveDue(store, publications, { ...options, afterMs: options.republishAfterMs, also });
}

/** Leaves claimed events that may be queued alone for another `republishAfterMs`; their `published_at` stays. */
export async function postpone(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly republishAfterMs: number },
): Promise<void> {
  await moveDue(store, publications, { ...options, afterMs: options.republishAfterMs });
}

/**
 * Keeps relays off events that wait for their confirm, for another `graceMs`.
 * @returns the due time that these publications have from now on; all of them or, if it throws, none.
 */
export function extendDue(store: Store, publications: readonly Publication[], options: Times): Promise<Date> {
  return moveDue(store, publications, { ...options, afterMs: options.graceMs });
}

/**
 * Sets another due time where a publication's own is still there, in one transaction that waits for no lock.
 * @returns the new due time, by the server's clock.
 */
function moveDue(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly afterMs: number; readonly also?: string },
): Promise<Date> {
  const alike = Map.groupBy(publications, ({ dueAt, attemptCount }) => `${dueAt?.getTime()} ${attemptCount}`);
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [, times, ...found] = (await connection.batch([
      ['START TRANSACTION'],
      ['SELECT UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AS due_at', [options.afterMs * 1_000]],
      ...alike.values().map((some) => lockUnchanged(some, options.graceMs)),
    ])) as [unknown, { due_at: Date }[], ...{ event_id: EventId }[][]];
    const dueAt = times[0]?.due_at ?? new Date(0);
    const ids = found.flat().map((row) => row.event_id);
    const move: Statement = [
      `UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ?${options.also ?? ''} WHERE event_id IN (?)`,
      [dueAt, ids],
    ];
    await connection.batch([...(ids.length > 0 ? [move] : []), ['COMMIT']]);
    return dueAt;
  });
}

/** Those of these publications, all with the same due time and count, whose rows still have both and are free. */
function lockUnchanged(alike: readonly Publication[], graceMs: number): Statement {
  const { dueAt = null, attemptCount = 0 } = alike[0] ?? {};
  const [due, value] = dueAt === null ? ['created_at + INTERVAL ? MICROSECOND', graceMs * 1_000] : ['?', dueAt];
  return [
    `SELECT event_id FROM conversation_events FORCE INDEX (PRIMARY)
     WHERE event_id IN (?) AND next_attempt_at = ${due} AND attempt_count = ? FOR UPDATE SKIP LOCKED`,
    [alike.map(({ eventId }) => eventId).sort(), value, attemptCount],
  ];
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
