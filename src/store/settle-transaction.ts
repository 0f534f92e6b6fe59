import type { EventId, EventStatus } from '../event/event.ts';
import type { Friendship, TopicMetrics } from '../event/friendship.ts';
import type { FriendshipRow, TopicRow } from '../report/ports.ts';
import type {
  EventWrite,
  LockedEvent,
  ProcessedWrite,
  SettleTransaction,
  TopicKey,
  UnsuccessfulWrite,
} from '../settle/ports.ts';
import { type Connection, type Statement, withConnection } from './connection.ts';
import { noteClosed } from './feed.ts';
import type { Store } from './open-store.ts';
import { noteFor } from './webhook-notices.ts';

type LockedRow = { event_id: EventId; status: EventStatus; attempt_count: number };

/**
 * One settling transaction in two round trips: begin and lock, then write and commit. New users take a third. A batch
 * of ten mostly waits for answers, and every round trip saved is saved for all ten (docs/decisions/0013).
 */
export function settleTransaction<T>(
  store: Store,
  options: {
    readonly deadlineMs: number;
    readonly locks: 'wait' | 'nowait';
    /** Whether anybody wants to be told of what is closed. */
    readonly hasListeners: boolean;
    /** `EVENT_STREAM`. */
    readonly hasStream: boolean;
  },
  work: (tx: SettleTransaction) => Promise<T>,
): Promise<T> {
  const { deadlineMs, locks, ...what } = options;
  return withConnection(store, deadlineMs, async (connection) => {
    const writes: Statement[] = [];
    const lock = locks === 'wait' ? 'FOR UPDATE' : 'FOR UPDATE NOWAIT';
    const result = await work(steps(connection, writes, lock, what));
    await connection.batch([...writes, ['COMMIT']]);
    return result;
  });
}

type Lock = 'FOR UPDATE' | 'FOR UPDATE NOWAIT';

function steps(
  connection: Connection,
  writes: Statement[],
  lock: Lock,
  { hasListeners, hasStream }: { readonly hasListeners: boolean; readonly hasStream: boolean },
): SettleTransaction {
  return {
    async lock(ids, { userIds, topics }) {
      // Through the primary key, in its order: concurrent batches that share events lock them in the same order, and a
      // small table is not scanned (a scan would wait for rows that other transactions hold).
      const [, events, friendships = [], topicRows = []] = await connection.batch([
        ['START TRANSACTION'],
        [
          `SELECT event_id, status, attempt_count FROM conversation_events FORCE INDEX (PRIMARY)
           WHERE event_id IN (?) ORDER BY event_id ${lock}`,
          [ids.toSorted()],
        ],
        ...(userIds.length > 0 ? readUsers(userIds.toSorted(), topics, lock) : []),
      ]);
      return {
        events: (events as LockedRow[]).map(toLockedEvent),
        friendships: (friendships as FriendshipRow[]).map(toFriendship),
        topics: (topicRows as TopicRow[]).map(toTopic),
      };
    },

    async lockUsers(userIds, topics) {
      const sorted = userIds.toSorted();
      const [, friendships, topicRows = []] = await connection.batch([
        // Locks an existing row exclusively and creates a missing one, so that a user's first events are also added up
        // one after the other. (INSERT IGNORE takes a shared lock, and two of those deadlock.)
        [
          `INSERT INTO friendship_status (user_id, updated_at)
            VALUES ${sorted.map(() => '(?,UTC_TIMESTAMP(3))').join(',')}
           ON DUPLICATE KEY UPDATE user_id = friendship_status.user_id`,
          sorted,
        ],
        ...readUsers(sorted, topics, lock),
      ]);
      return {
        friendships: (friendships as FriendshipRow[]).map(toFriendship),
        topics: (topicRows as TopicRow[]).map(toTopic),
      };
    },

    write({ friendships, topics, events }) {
      if (friendships.length > 0) writes.push(writeFriendships(friendships));
      if (topics.length > 0) writes.push(writeTopics(topics));
      const processed = events.filter((w) => w.kind === 'processed');
      if (processed.length > 0) writes.push(writeProcessed(processed));
      writes.push(...events.filter((w) => w.kind !== 'processed').map(writeUnsuccessful));
      if (hasListeners) writes.push(...tellListeners(events));
      const closed = events.filter((w) => w.kind !== 'retry').map((w) => w.eventId);
      if (hasStream && closed.length > 0) writes.push(noteClosed(closed));
    },
  };
}

/** A delivery for each listener, written together with what it tells. */
function tellListeners(events: readonly EventWrite[]): Statement[] {
  const processed = events.filter((w) => w.kind === 'processed');
  const failed = events.filter((w) => w.kind === 'failed');
  const changed = Map.groupBy(
    processed.filter((w) => w.level !== w.levelBefore),
    (w) => JSON.stringify({ from: w.levelBefore, to: w.level }),
  );
  const ids = (writes: readonly EventWrite[]) => writes.map((w) => w.eventId);
  return [
    ...(processed.length > 0 ? [noteFor('conversation.processed', ids(processed))] : []),
    ...(failed.length > 0 ? [noteFor('conversation.failed', ids(failed))] : []),
    ...[...changed].map(([detail, writes]) => noteFor('friendship.level_changed', ids(writes), detail)),
  ];
}

function toLockedEvent(r: LockedRow): LockedEvent {
  return { eventId: r.event_id, status: r.status, attemptCount: r.attempt_count };
}

export function toFriendship(r: FriendshipRow): Friendship {
  return {
    userId: r.user_id,
    score: r.friendship_score,
    level: r.friendship_level,
    streakDay: r.streak_day,
    lastInteraction: r.last_interaction_date,
  };
}

export function toTopic(r: TopicRow): TopicMetrics {
  return {
    userId: r.user_id,
    topicId: r.topic_id,
    score: r.score,
    turns: r.turns,
    level: r.level,
    lastDate: r.last_date,
  };
}

function readUsers(sorted: readonly string[], topics: readonly TopicKey[], lock: Lock): Statement[] {
  const users: Statement = [
    `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date
     FROM friendship_status FORCE INDEX (PRIMARY) WHERE user_id IN (?) ${lock}`,
    [sorted],
  ];
  if (topics.length === 0) return [users];
  return [
    users,
    [
      'SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics ' +
        'WHERE (user_id, topic_id) IN (?)',
      [topics.map((k) => [k.userId, k.topicId])],
    ],
  ];
}

export function writeFriendships(rows: readonly Friendship[]): Statement {
  return [
    `INSERT INTO friendship_status
       (user_id, friendship_score, friendship_level, streak_day, last_interaction_date, updated_at)
     VALUES ${rows.map(() => '(?,?,?,?,?,UTC_TIMESTAMP(3))').join(',')}
     ON DUPLICATE KEY UPDATE friendship_score = VALUES(friendship_score), friendship_level = VALUES(friendship_level),
       streak_day = VALUES(streak_day), last_interaction_date = VALUES(last_interaction_date),
       updated_at = VALUES(updated_at)`,
    rows.flatMap((r) => [r.userId, r.score, r.level, r.streakDay, r.lastInteraction]),
  ];
}

export function writeTopics(rows: readonly TopicMetrics[]): Statement {
  return [
    `INSERT INTO friendship_topic_metrics (user_id, topic_id, score, turns, level, last_date)
     VALUES ${rows.map(() => '(?,?,?,?,?,?)').join(',')}
     ON DUPLICATE KEY UPDATE score = VALUES(score), turns = VALUES(turns), level = VALUES(level),
       last_date = VALUES(last_date)`,
    rows.flatMap((r) => [r.userId, r.topicId, r.score, r.turns, r.level, r.lastDate]),
  ];
}

/**
 * One UPDATE for all of them, because MariaDB would write a join against a derived table of the values to disk
 * (docs/decisions/0013).
 */
function writeProcessed(writes: readonly ProcessedWrite[]): Statement {
  const each = writes.map(() => 'WHEN ? THEN ?').join(' ');
  return [
    `UPDATE conversation_events FORCE INDEX (PRIMARY)
     SET status = 'PROCESSED', next_attempt_at = NULL, processed_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3),
       friendship_score_change = CASE event_id ${each} END,
       new_friendship_level = CASE event_id ${each} END,
       score_calculation_details = CASE event_id ${each} END,
       error_code = NULL, error_details = NULL, suspect_starts = 0
     WHERE event_id IN (?)`,
    [
      ...writes.flatMap((w) => [w.eventId, w.change]),
      ...writes.flatMap((w) => [w.eventId, w.level]),
      ...writes.flatMap((w) => [w.eventId, w.detailsJson]),
      writes.map((w) => w.eventId),
    ],
  ];
}

function writeUnsuccessful(write: UnsuccessfulWrite): Statement {
  const [status, delayMicros] =
    write.kind === 'failed' ? ['FAILED', null] : ['PENDING', Math.round(write.delayMs * 1_000)];
  return [
    `UPDATE conversation_events SET status = ?, attempt_count = ?, error_code = ?, error_details = ?,
      suspect_starts = 0,
       next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, published_at = DEFAULT,
       updated_at = UTC_TIMESTAMP(3)
     WHERE event_id = ?`,
    [status, write.attemptCount, write.code, write.details, delayMicros, write.eventId],
  ];
}
