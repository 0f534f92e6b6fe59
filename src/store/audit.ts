import type { EventId, EventStatus } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';
import type { Change, OddEvent, UserPage, Users } from '../operate/audit/ports.ts';
import { type Connection, withConnection } from './connection.ts';
import { readLedger } from './ledger.ts';
import type { Store } from './open-store.ts';

/** The last id of the page of `size` users that starts after `after`; null if that page reaches the end. */
export async function endOfUserPage(
  store: Store,
  after: string,
  size: number,
  deadlineMs: number,
): Promise<string | null> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ user_id: string }[]>(
      'SELECT user_id FROM friendship_status FORCE INDEX (PRIMARY) WHERE user_id > ? ORDER BY user_id LIMIT 1 OFFSET ?',
      [after, size - 1],
    ),
  );
  return rows[0]?.user_id ?? null;
}

/**
 * Reads these users' friendships and topics, and the sums of their events, in one snapshot: on a live database both
 * keep changing.
 */
export function readUserPage(store: Store, users: Users, deadlineMs: number): Promise<UserPage> {
  const [where, params] = which(users);
  return inSnapshot(store, deadlineMs, async (connection) => {
    const sums = await connection.query<Record<string, unknown>[]>(
      `SELECT user_id, agent_tag, COUNT(*) AS events, 
         SUM(friendship_score_change IS NULL OR processed_at IS NULL) AS without_result,
         CAST(COALESCE(SUM(friendship_score_change), 0) * 10000 AS SIGNED) AS change_sum,
         COALESCE(MIN(friendship_score_change), 0) < 0 AS negative,
         SUM(JSON_VALUE(score_calculation_details, '$.scorer') LIKE 'friendship@%') AS with_turns,
         CAST(COALESCE(SUM(JSON_VALUE(score_calculation_details, '$.total_turns')), 0) AS SIGNED) AS turns,
         MAX(end_time) AS last_end
       FROM conversation_events FORCE INDEX (ix_conversation_events_user) WHERE ${where} AND status = 'PROCESSED'
       GROUP BY user_id, agent_tag`,
      params,
    );
    const friendships = await connection.query<Record<string, unknown>[]>(
      `SELECT user_id, CAST(friendship_score * 10000 AS SIGNED) AS score, friendship_level, last_interaction_date
       FROM friendship_status FORCE INDEX (PRIMARY) WHERE ${where}`,
      params,
    );
    const topics = await connection.query<Record<string, unknown>[]>(
      `SELECT user_id, topic_id, CAST(score * 10000 AS SIGNED) AS score, turns, last_date
       FROM friendship_topic_metrics FORCE INDEX (PRIMARY) WHERE ${where}`,
      params,
    );
    const ledger = await readLedger(connection, where, params);
    const falling = [
      ...new Set([
        ...sums.filter((r) => Number(r['negative']) === 1).map((r) => String(r['user_id'])),
        ...ledger.filter((line) => line.change !== line.gains).map((line) => line.userId),
      ]),
    ];
    return {
      ledger,
      changes: falling.length === 0 ? [] : await readChanges(connection, falling),
      sums: sums.map((r) => ({
        userId: String(r['user_id']),
        topicId: r['agent_tag'] as string | null,
        events: Number(r['events']),
        withoutResult: Number(r['without_result']),
        change: Number(r['change_sum']),
        turns: Number(r['with_turns']) === Number(r['events']) ? Number(r['turns']) : null,
        lastEnd: r['last_end'] as Date,
      })),
      friendships: friendships.map((r) => ({
        userId: String(r['user_id']),
        score: Number(r['score']),
        level: r['friendship_level'] as FriendshipLevel,
        lastInteraction: r['last_interaction_date'] as Date | null,
      })),
      topics: topics.map((r) => ({
        userId: String(r['user_id']),
        topicId: String(r['topic_id']),
        score: Number(r['score']),
        turns: Number(r['turns']),
        lastDate: r['last_date'] as Date,
      })),
    };
  });
}

/** Users of the events after `from`, one page of events at a time. */
export async function usersSince(
  store: Store,
  page: { readonly from: EventId; readonly size: number },
  deadlineMs: number,
): Promise<{ readonly users: readonly string[]; readonly next: EventId | null }> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ event_id: EventId; user_id: string }[]>(
      'SELECT event_id, user_id FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id > ? ORDER BY event_id ' +
        'LIMIT ?',
      [page.from, page.size],
    ),
  );
  return {
    users: rows.map((r) => r.user_id),
    next: rows.length === page.size ? (rows.at(-1)?.event_id ?? null) : null,
  };
}

/**
 * Finds open events that will never become due, closed events that still have a due time, and open events that have
 * been due for longer than `overdueMs`.
 */
export async function findOddEvents(
  store: Store,
  options: { readonly overdueMs: number; readonly limit: number; readonly deadlineMs: number },
): Promise<Record<'openAndNeverDue' | 'closedAndDue' | 'overdue', OddEvent[]>> {
  const select = 'SELECT event_id, status, next_attempt_at FROM conversation_events FORCE INDEX';
  type Row = { event_id: EventId; status: EventStatus; next_attempt_at: Date | null };
  const odd = (rows: Row[]) =>
    rows.map((r) => ({ eventId: r.event_id, status: r.status, nextAttemptAt: r.next_attempt_at }));
  return withConnection(store, options.deadlineMs, async (connection) => ({
    openAndNeverDue: odd(
      await connection.query<Row[]>(
        `${select} (ix_conversation_events_status) WHERE status IN ('PENDING', 'PROCESSING')
          AND next_attempt_at IS NULL LIMIT ?`,
        [options.limit],
      ),
    ),
    closedAndDue: odd(
      await connection.query<Row[]>(
        `${select} (ix_conversation_events_due)
         WHERE next_attempt_at > '1000-01-01' AND status NOT IN ('PENDING', 'PROCESSING') LIMIT ?`,
        [options.limit],
      ),
    ),
    overdue: odd(
      await connection.query<Row[]>(
        `${select} (ix_conversation_events_due)
         WHERE next_attempt_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AND status IN ('PENDING', 'PROCESSING')
         ORDER BY next_attempt_at LIMIT ?`,
        [options.overdueMs * 1_000, options.limit],
      ),
    ),
  }));
}

/** Counts the events in a status. For statuses that few events have. */
export async function countStatus(store: Store, status: EventStatus, deadlineMs: number): Promise<number> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ n: number }[]>(
      'SELECT COUNT(*) AS n FROM conversation_events FORCE INDEX (ix_conversation_events_status) WHERE status = ?',
      [status],
    ),
  );
  return Number(row?.n ?? 0);
}

/**
 * A page of FAILED events, ordered by id. Events that failed within the last `settledMs` are left out: their dead
 * letters may still be on the way.
 */
export async function failedPage(
  store: Store,
  page: { readonly after: EventId; readonly size: number; readonly settledMs: number },
  deadlineMs: number,
): Promise<EventId[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ event_id: EventId }[]>(
      `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_status)
       WHERE status = 'FAILED' AND event_id > ? AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       ORDER BY event_id LIMIT ?`,
      [page.after, page.settledMs * 1_000, page.size],
    ),
  );
  return rows.map((r) => r.event_id);
}

/** The events among `ids` that have been FAILED for at least `settledMs`. */
export async function stillFailed(
  store: Store,
  ids: readonly EventId[],
  settledMs: number,
  deadlineMs: number,
): Promise<EventId[]> {
  if (ids.length === 0) return [];
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ event_id: EventId }[]>(
      `SELECT event_id FROM conversation_events FORCE INDEX (PRIMARY)
       WHERE event_id IN (?) AND status = 'FAILED' AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND`,
      [ids, settledMs * 1_000],
    ),
  );
  return rows.map((r) => r.event_id);
}

async function readChanges(connection: Connection, userIds: readonly string[]): Promise<Change[]> {
  const rows = await connection.query<
    { user_id: string; agent_tag: string | null; change_sum: number; processed_at: Date }[]
  >(
    `SELECT user_id, agent_tag, CAST(friendship_score_change * 10000 AS SIGNED) AS change_sum, processed_at
     FROM conversation_events FORCE INDEX (ix_conversation_events_user) WHERE user_id IN (?)
     AND status = 'PROCESSED' ORDER BY processed_at`,
    [userIds],
  );
  return rows.map((r) => ({
    userId: r.user_id,
    topicId: r.agent_tag,
    change: Number(r.change_sum),
    processedAt: r.processed_at,
  }));
}

function which(users: Users): [string, readonly unknown[]] {
  if ('named' in users) return ['user_id IN (?)', [users.named]];
  if (users.upTo === null) return ['user_id > ?', [users.after]];
  return ['user_id > ? AND user_id <= ?', [users.after, users.upTo]];
}

/** Runs several statements in one read view, held no longer than they take. */
export function inSnapshot<T>(
  store: Store,
  deadlineMs: number,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return withConnection(store, deadlineMs, async (connection) => {
    await connection.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  });
}

/** When each conversation was processed, by conversation id. */
export async function processedTimes(store: Store, deadlineMs: number): Promise<ReadonlyMap<string, Date>> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ conversation_id: string; processed_at: Date }[]>(
      "SELECT conversation_id, processed_at FROM conversation_events WHERE status = 'PROCESSED'",
    ),
  );
  return new Map(rows.map((row) => [row.conversation_id, row.processed_at]));
}
