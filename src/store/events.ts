import type { EventRef, EventStatus } from '../event/event.ts';
import { type Connection, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';
import type { EventRow, FriendshipRow, LogRow, TopicRow } from './schemas.ts';

export type { EventRow, FriendshipRow, TopicRow } from './schemas.ts';

/** An event as it is shown; the details of its score are parsed. */
export type ShownEvent = Omit<EventRow, 'duration_seconds' | 'request_digest' | 'suspect_starts'>;

const columns = `event_id, conversation_id, user_id, bot_type, bot_id, bot_name, agent_tag, start_time, end_time, status, attempt_count, next_attempt_at,
  attempt_started_at, worker, created_at, processed_at, error_code, error_details, friendship_score_change, new_friendship_level,
  score_calculation_details, updated_at`;

/** One event; null if there is none. With its log, as JSON text, if that is asked for and there. */
export function findEvent(
  store: Store,
  ref: EventRef,
  options: { readonly withLog: boolean; readonly deadlineMs: number },
): Promise<(ShownEvent & { readonly conversation_log?: string }) | null> {
  const [column, id] = 'eventId' in ref ? ['event_id', ref.eventId] : ['conversation_id', ref.conversationId];
  return withConnection(store, options.deadlineMs, async (connection) => {
    const [row] = await connection.prepared<ShownEvent[]>(`SELECT ${columns} FROM conversation_events WHERE ${column} = ?`, [id]);
    if (row === undefined) return null;
    const [log] = options.withLog ? await readLog(connection, row.event_id) : [];
    return { ...parsed(row), ...(log && { conversation_log: log.conversation_log }) };
  });
}

function readLog(connection: Connection, eventId: string): Promise<Pick<LogRow, 'conversation_log'>[]> {
  return connection.prepared('SELECT conversation_log FROM conversation_logs WHERE event_id = ?', [eventId]);
}

/**
 * Events newest first (event ids carry their time), after `before` in that order: a keyset page, whose cost does not
 * grow with the page's number.
 */
export function listEvents(
  store: Store,
  filter: { readonly status?: EventStatus; readonly userId?: string; readonly before?: string },
  options: { readonly limit: number; readonly deadlineMs: number },
): Promise<ShownEvent[]> {
  const conditions = [
    ['user_id = ?', filter.userId],
    ['status = ?', filter.status],
    ['event_id < ?', filter.before],
  ].filter(([, value]) => value !== undefined);
  // Named, because MySQL would read the primary key from its end to be spared the sort, past millions of rows of others.
  const index =
    filter.userId !== undefined ? 'ix_conversation_events_user' : filter.status !== undefined ? 'ix_conversation_events_status' : 'PRIMARY';
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(([condition]) => condition).join(' AND ')}`;
  return withConnection(store, options.deadlineMs, async (connection) => {
    const rows = await connection.query<ShownEvent[]>(
      `SELECT ${columns} FROM conversation_events USE INDEX (${index}) ${where} ORDER BY event_id DESC LIMIT ?`,
      [...conditions.map(([, value]) => value), options.limit],
    );
    return rows.map(parsed);
  });
}

/** The driver hands JSON over as text. */
function parsed(row: ShownEvent): ShownEvent {
  const details = row.score_calculation_details;
  return { ...row, score_calculation_details: typeof details === 'string' ? (JSON.parse(details) as unknown) : details };
}

/** Which of these conversations are closed by now. */
export async function findClosed(store: Store, conversationIds: readonly string[], deadlineMs: number): Promise<string[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ conversation_id: string }[]>(
      "SELECT conversation_id FROM conversation_events WHERE conversation_id IN (?) AND status IN ('PROCESSED', 'FAILED', 'SKIPPED')",
      [conversationIds],
    ),
  );
  return rows.map((row) => row.conversation_id);
}

/** A user's friendship with its topics, most points first; null for a user without a processed event. */
export function findFriendship(
  store: Store,
  userId: string,
  deadlineMs: number,
): Promise<{ readonly status: FriendshipRow; readonly topics: readonly TopicRow[] } | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [status] = await connection.prepared<FriendshipRow[]>(
      `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date, updated_at FROM friendship_status WHERE user_id = ?`,
      [userId],
    );
    if (status === undefined) return null;
    const topics = await connection.prepared<TopicRow[]>(
      `SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics WHERE user_id = ? ORDER BY score DESC, topic_id`,
      [userId],
    );
    return { status, topics };
  });
}

/** Connections the server admits in all, for the budget check at start. */
export async function maxConnections(store: Store, deadlineMs: number): Promise<number> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ n: unknown }[]>('SELECT @@max_connections AS n'),
  );
  return Number(row?.n);
}
