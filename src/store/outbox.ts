import type { EventId } from '../event/event.ts';
import type { Lane } from '../event/lane.ts';
import type { Claim, Moved, Publication } from '../outbox/ports.ts';
import { type Statement, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

type Row = {
  event_id: EventId;
  conversation_id: string;
  user_id: string;
  bot_id: string;
  traceparent: string | null;
  lane: Lane;
  attempt_count: number;
  maybe_queued: 0 | 1 | null;
  due_at: Date;
};

/** After this many `republishAfterMs` without being settled, an event is published again, whatever is in the queue. */
const mostTermsQueued = 4;

const update = 'UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ? WHERE event_id IN (?)';

/**
 * Claims due events and keeps other relays away from them for `graceMs`. Locks and reads one index range of due rows,
 * whatever the size of the table; rows that another relay holds are skipped.
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
        `SELECT event_id, conversation_id, user_id, bot_id, traceparent, lane, attempt_count,
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
      traceparent: r.traceparent,
      lane: r.lane,
      attemptCount: r.attempt_count,
      maybeQueued: r.maybe_queued === 1,
    }));
    return { events, dueAt };
  });
}

type Times = { readonly graceMs: number; readonly deadlineMs: number };

/**
 * Marks publications as confirmed by the broker: relays leave their events alone for `republishAfterMs`.
 *
 * A mark may come late, and is valid for one publication only: it skips rows that were written since, by a failed
 * attempt or an operator's retry.
 *
 * @param options.graceMs  the same that the new events were inserted with.
 */
export function markConfirmed(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly republishAfterMs: number },
): Promise<Moved> {
  const also = ', published_at = UTC_TIMESTAMP(3)';
  return moveDue(store, publications, { ...options, afterMs: options.republishAfterMs, also });
}

/** Postpones claimed events that may still be queued by another `republishAfterMs`, keeping their `published_at`. */
export async function postpone(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly republishAfterMs: number },
): Promise<void> {
  await moveDue(store, publications, { ...options, afterMs: options.republishAfterMs });
}

/** Keeps relays away from events that wait for their confirm, for another `graceMs`. */
export function extendDue(store: Store, publications: readonly Publication[], options: Times): Promise<Moved> {
  return moveDue(store, publications, { ...options, afterMs: options.graceMs });
}

/**
 * Sets a new due time, by the server's clock, on the rows that still have the publication's own. One transaction, which
 * waits for no lock: one held row would delay the marks of all other events.
 */
function moveDue(
  store: Store,
  publications: readonly Publication[],
  options: Times & { readonly afterMs: number; readonly also?: string },
): Promise<Moved> {
  const alike = groupAlike(publications);
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [, times, ...locked] = (await connection.batch([
      ['START TRANSACTION'],
      ['SELECT UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND AS due_at', [options.afterMs * 1_000]],
      ...alike.map((some) => findUnchanged(some, options.graceMs, 'FOR UPDATE SKIP LOCKED')),
    ])) as [unknown, { due_at: Date }[], ...Named[][]];
    const dueAt = times[0]?.due_at ?? new Date(0);
    const moved = idsOf(locked);
    const rest = groupAlike(publications.filter(({ eventId }) => !moved.has(eventId)));
    const move: Statement = [
      `UPDATE conversation_events FORCE INDEX (PRIMARY) SET next_attempt_at = ?${options.also ?? ''}
        WHERE event_id IN (?)`,
      [dueAt, [...moved]],
    ];
    const results = (await connection.batch([
      ...rest.map((some) => findUnchanged(some, options.graceMs, '')),
      ...(moved.size > 0 ? [move] : []),
      ['COMMIT'],
    ])) as Named[][];
    return { dueAt, moved, held: idsOf(results.slice(0, rest.length)) };
  });
}

type Named = { readonly event_id: EventId };

function idsOf(results: readonly (readonly Named[])[]): Set<EventId> {
  return new Set(results.flat().map((row) => row.event_id));
}

/** By what their rows must still have. */
function groupAlike(publications: readonly Publication[]): Publication[][] {
  return [...Map.groupBy(publications, (p) => `${p.dueAt?.getTime()} ${p.attemptCount}`).values()];
}

/** Finds the rows that still have the due time and count that these publications share. */
function findUnchanged(
  alike: readonly Publication[],
  graceMs: number,
  locking: '' | 'FOR UPDATE SKIP LOCKED',
): Statement {
  const { dueAt = null, attemptCount = 0 } = alike[0] ?? {};
  const [due, value] = dueAt === null ? ['created_at + INTERVAL ? MICROSECOND', graceMs * 1_000] : ['?', dueAt];
  return [
    `SELECT event_id FROM conversation_events FORCE INDEX (PRIMARY)
     WHERE event_id IN (?) AND next_attempt_at = ${due} AND attempt_count = ? ${locking}`,
    [alike.map(({ eventId }) => eventId).sort(), value, attemptCount],
  ];
}

/**
 * Makes events due that were published more than `lostAfterMs` ago and that no worker has reported as running since.
 *
 * Due times nearer than `furthestRetryMs` mostly belong to waiting retries and are not looked at; a published event
 * with such a due time becomes due soon without help.
 *
 * @returns how many events were made due.
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
      `UPDATE conversation_events FORCE INDEX (ix_conversation_events_due)
        SET next_attempt_at = UTC_TIMESTAMP(3), published_at = DEFAULT
       WHERE next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND
         AND published_at > DEFAULT(published_at) AND published_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
         AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       ORDER BY next_attempt_at LIMIT ?`,
      [options.furthestRetryMs * 1_000, options.lostAfterMs * 1_000, options.lostAfterMs * 1_000, options.limit],
    );
    return affectedRows;
  });
}
