import { type EventId, type EventRef, type EventStatus, timeOfEventId } from '../event/event.ts';
import type { EventView, FriendshipRow, FriendshipView, TextView, TopicRow } from '../report/ports.ts';
import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

const names = [
  ...['event_id', 'conversation_id', 'user_id', 'bot_type', 'bot_id', 'bot_name', 'agent_tag', 'start_time'],
  ...['end_time', 'status', 'attempt_count', 'next_attempt_at', 'attempt_started_at', 'worker', 'created_at'],
  ...['processed_at', 'error_code', 'error_details', 'friendship_score_change', 'new_friendship_level'],
  ...['score_calculation_details', 'updated_at', 'lane'],
];
const columns = names.join(', ');

/** What the others see of an event, in a statement with other tables. */
export function eventColumns(table: string): string {
  return names.map((name) => `${table}.${name}`).join(', ');
}

/** One event; null if there is none. */
export function findEvent(store: Store, ref: EventRef, deadlineMs: number): Promise<EventView | null> {
  const [column, id] = 'eventId' in ref ? ['event_id', ref.eventId] : ['conversation_id', ref.conversationId];
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.prepared<EventView[]>(
      `SELECT ${columns} FROM conversation_events WHERE ${column} = ?`,
      [id],
    );
    return row === undefined ? null : parsed(row);
  });
}

/** Few sizes keep the statements prepared: a batch is padded to the next size with an id that no event has. */
const sizes = [1, 4, 16, 64];

/** The events of those conversations that exist, in no particular order. At most 64. */
export function findEvents(store: Store, conversationIds: readonly string[], deadlineMs: number): Promise<EventView[]> {
  return readEvents(store, conversationIds, '', deadlineMs);
}

/** The events of those conversations that are closed, in no particular order. At most 64. */
export function findClosed(store: Store, conversationIds: readonly string[], deadlineMs: number): Promise<EventView[]> {
  return readEvents(store, conversationIds, "AND status IN ('PROCESSED', 'FAILED', 'SKIPPED')", deadlineMs);
}

function readEvents(
  store: Store,
  conversationIds: readonly string[],
  further: string,
  deadlineMs: number,
): Promise<EventView[]> {
  const size = sizes.find((n) => n >= conversationIds.length) ?? conversationIds.length;
  const ids = [...conversationIds, ...Array<string>(size - conversationIds.length).fill('')];
  return withConnection(store, deadlineMs, async (connection) => {
    const rows = await connection.prepared<EventView[]>(
      `SELECT ${columns} FROM conversation_events WHERE conversation_id IN (${ids.map(() => '?').join(',')})
        ${further}`,
      ids,
    );
    return rows.map(parsed);
  });
}

/** The conversation and the metadata that the caller sent with it; null if there are none. */
export function findText(store: Store, eventId: string, deadlineMs: number): Promise<TextView | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.prepared<TextView[]>(
      'SELECT conversation_log, metadata FROM conversation_logs WHERE event_id = ?',
      [eventId],
    );
    return row ?? null;
  });
}

/**
 * Events newest first (event ids carry their time), older than `before` and no older than `from`. Keyset pagination:
 * the cost does not grow with the page number.
 */
export function listEvents(
  store: Store,
  filter: {
    readonly status?: EventStatus;
    readonly userId?: string;
    readonly errorCode?: string;
    readonly before?: string;
    readonly from?: string;
  },
  options: { readonly limit: number; readonly deadlineMs: number },
): Promise<EventView[]> {
  const conditions = [
    ['user_id = ?', filter.userId],
    ['status = ?', filter.status],
    ['error_code = ?', filter.errorCode],
    ['event_id < ?', filter.before],
    ['event_id >= ?', filter.from],
  ].filter(([, value]) => value !== undefined);
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(([condition]) => condition).join(' AND ')}`;
  return withConnection(store, options.deadlineMs, async (connection) => {
    const rows = await connection.query<EventView[]>(
      `SELECT ${columns} FROM conversation_events USE INDEX (${indexFor(filter)})
       ${where} ORDER BY event_id DESC LIMIT ?`,
      [...conditions.map(([, value]) => value), options.limit],
    );
    return rows.map(parsed);
  });
}

/** Events oldest first, after `after` and before `until`: a page costs the same wherever it is. */
export function exportEvents(
  store: Store,
  filter: {
    readonly after: string;
    readonly until: string;
    readonly status?: EventStatus;
    readonly userId?: string;
  },
  options: { readonly limit: number; readonly deadlineMs: number },
): Promise<EventView[]> {
  const conditions = [
    ['user_id = ?', filter.userId],
    ['status = ?', filter.status],
    ['event_id > ?', filter.after],
    ['event_id < ?', filter.until],
  ].filter(([, value]) => value !== undefined);
  return withConnection(store, options.deadlineMs, async (connection) => {
    const rows = await connection.query<EventView[]>(
      `SELECT ${columns} FROM conversation_events USE INDEX (${indexFor(filter)})
       WHERE ${conditions.map(([condition]) => condition).join(' AND ')} ORDER BY event_id LIMIT ?`,
      [...conditions.map(([, value]) => value), options.limit],
    );
    return rows.map(parsed);
  });
}

/** The texts of those events that have one. */
export function findTexts(
  store: Store,
  eventIds: readonly string[],
  deadlineMs: number,
): Promise<Map<string, TextView>> {
  return withConnection(store, deadlineMs, async (connection) => {
    const rows = await connection.query<(TextView & { event_id: string })[]>(
      'SELECT event_id, conversation_log, metadata FROM conversation_logs WHERE event_id IN (?)',
      [eventIds],
    );
    return new Map(rows.map((row) => [row.event_id, row]));
  });
}

/**
 * The index is named because MySQL would otherwise scan the primary key to avoid a sort, past millions of rows that do
 * not match.
 */
function indexFor({ userId, status }: { readonly userId?: string; readonly status?: EventStatus }): string {
  if (userId !== undefined) return 'ix_conversation_events_user';
  return status !== undefined ? 'ix_conversation_events_status' : 'PRIMARY';
}

/** The driver returns JSON columns as text. */
export function parsed(row: EventView): EventView {
  const details = row.score_calculation_details;
  return {
    ...row,
    score_calculation_details: typeof details === 'string' ? (JSON.parse(details) as unknown) : details,
  };
}

/** Microseconds. A settling transaction takes a few milliseconds. */
const settledAfterUs = 1_000_000;

/** A user's friendship and topics, highest score first; null for a user without a processed event. */
export function findFriendship(
  store: Store,
  userId: string,
  known: FriendshipView | null,
  deadlineMs: number,
): Promise<{ readonly view: FriendshipView; readonly isSettled: boolean } | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.prepared<(FriendshipRow & { age_us: number })[]>(
      `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date, updated_at,
         TIMESTAMPDIFF(MICROSECOND, updated_at, UTC_TIMESTAMP(3)) AS age_us
       FROM friendship_status WHERE user_id = ?`,
      [userId],
    );
    if (row === undefined) return null;
    const { age_us, ...status } = row;
    // Two changes may have the same millisecond; a settling transaction takes far less than a second.
    const isSettled = Number(age_us) > settledAfterUs;
    if (known !== null && isSettled && isSame(known.status, status)) return { view: known, isSettled };
    const topics = await connection.prepared<TopicRow[]>(
      `SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics WHERE user_id = ?
        ORDER BY score DESC, topic_id`,
      [userId],
    );
    return { view: { status, topics }, isSettled };
  });
}

function isSame(a: FriendshipRow, b: FriendshipRow): boolean {
  return a.updated_at.getTime() === b.updated_at.getTime() && a.friendship_score === b.friendship_score;
}

/**
 * A look at the database for metrics: two index look-ups.
 * @returns when the oldest open event was accepted (milliseconds since the epoch; null if none is open), and the
 *   server's clock minus ours in milliseconds, accurate to half a round trip.
 */
export async function glance(
  store: Store,
  deadlineMs: number,
): Promise<{ readonly oldestOpenAt: number | null; readonly clockSkewMs: number }> {
  const oldest = (status: string) => `(SELECT event_id FROM conversation_events
     FORCE INDEX (ix_conversation_events_status) WHERE status = '${status}' ORDER BY event_id LIMIT 1)`;
  return withConnection(store, deadlineMs, async (connection) => {
    const asked = Date.now();
    const [row] = await connection.query<{ pending: EventId | null; processing: EventId | null; now: Date }[]>(
      `SELECT ${oldest('PENDING')} AS pending, ${oldest('PROCESSING')} AS processing, UTC_TIMESTAMP(3) AS now`,
    );
    const between = (asked + Date.now()) / 2;
    const ids = [row?.pending, row?.processing].filter((id) => id != null);
    const times = ids.map(timeOfEventId).filter((at) => at !== null);
    return {
      oldestOpenAt: times.length === 0 ? null : Math.min(...times),
      clockSkewMs: (row?.now.getTime() ?? between) - between,
    };
  });
}

/** The server's `max_connections`, for the budget check at start-up. */
export async function maxConnections(store: Store, deadlineMs: number): Promise<number> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ n: unknown }[]>('SELECT @@max_connections AS n'),
  );
  return Number(row?.n);
}
