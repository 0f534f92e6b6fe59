import type { EventId, EventStatus } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';
import type { EventWrite, SettleTransaction } from '../event/settlement.ts';
import { type Connection, inTransaction } from './connection.ts';
import type { Store } from './open-store.ts';

export function settleTransaction<T>(store: Store, deadlineMs: number, work: (tx: SettleTransaction) => Promise<T>): Promise<T> {
  return inTransaction(store, deadlineMs, (connection) => work(statements(connection)));
}

function statements(connection: Connection): SettleTransaction {
  return {
    async lockEvents(ids) {
      // Through the primary key in its order: concurrent batches that share an event meet in one order, and a small
      // table is not scanned (a scan would wait for rows that others hold).
      const rows = await connection.query<
        { event_id: EventId; status: EventStatus; attempt_count: number; user_id: string; agent_tag: string | null; end_time: Date }[]
      >(
        `SELECT event_id, status, attempt_count, user_id, agent_tag, end_time FROM conversation_events FORCE INDEX (PRIMARY)
         WHERE event_id IN (?) ORDER BY event_id FOR UPDATE`,
        [ids.toSorted()],
      );
      return rows.map((r) => ({
        eventId: r.event_id,
        status: r.status,
        attemptCount: r.attempt_count,
        userId: r.user_id,
        agentTag: r.agent_tag,
        endTime: r.end_time,
      }));
    },

    async lockFriendships(userIds) {
      const sorted = userIds.toSorted();
      // Takes the exclusive lock of a row that exists and creates the one that does not: first events of a user too
      // are then added up one after the other. (INSERT IGNORE takes a shared lock, and two of those deadlock.)
      await connection.query(
        `INSERT INTO friendship_status (user_id, updated_at) VALUES ${sorted.map(() => '(?,UTC_TIMESTAMP(3))').join(',')}
         ON DUPLICATE KEY UPDATE user_id = friendship_status.user_id`,
        sorted,
      );
      const rows = await connection.query<
        {
          user_id: string;
          friendship_score: number;
          friendship_level: FriendshipLevel;
          streak_day: number;
          last_interaction_date: Date | null;
        }[]
      >(
        `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date
         FROM friendship_status FORCE INDEX (PRIMARY) WHERE user_id IN (?) FOR UPDATE`,
        [sorted],
      );
      return rows.map((r) => ({
        userId: r.user_id,
        score: r.friendship_score,
        level: r.friendship_level,
        streakDay: r.streak_day,
        lastInteraction: r.last_interaction_date,
      }));
    },

    async readTopics(keys) {
      const rows = await connection.query<
        { user_id: string; topic_id: string; score: number; turns: number; level: FriendshipLevel; last_date: Date }[]
      >('SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics WHERE (user_id, topic_id) IN (?)', [
        keys.map((k) => [k.userId, k.topicId]),
      ]);
      return rows.map((r) => ({
        userId: r.user_id,
        topicId: r.topic_id,
        score: r.score,
        turns: r.turns,
        level: r.level,
        lastDate: r.last_date,
      }));
    },

    async writeFriendships(rows) {
      await connection.query(
        `INSERT INTO friendship_status (user_id, friendship_score, friendship_level, streak_day, last_interaction_date, updated_at)
         VALUES ${rows.map(() => '(?,?,?,?,?,UTC_TIMESTAMP(3))').join(',')}
         ON DUPLICATE KEY UPDATE friendship_score = VALUES(friendship_score), friendship_level = VALUES(friendship_level),
           streak_day = VALUES(streak_day), last_interaction_date = VALUES(last_interaction_date), updated_at = VALUES(updated_at)`,
        rows.flatMap((r) => [r.userId, r.score, r.level, r.streakDay, r.lastInteraction]),
      );
    },

    async writeTopics(rows) {
      await connection.query(
        `INSERT INTO friendship_topic_metrics (user_id, topic_id, score, turns, level, last_date)
         VALUES ${rows.map(() => '(?,?,?,?,?,?)').join(',')}
         ON DUPLICATE KEY UPDATE score = VALUES(score), turns = VALUES(turns), level = VALUES(level), last_date = VALUES(last_date)`,
        rows.flatMap((r) => [r.userId, r.topicId, r.score, r.turns, r.level, r.lastDate]),
      );
    },

    async writeEvents(writes) {
      const processed = writes.filter((w) => w.kind === 'processed');
      if (processed.length > 0) await writeProcessed(connection, processed);
      const unsuccessful = writes.filter((w) => w.kind !== 'processed');
      for (const write of unsuccessful) await writeUnsuccessful(connection, write);
    },
  };
}

/** One UPDATE joined with the batch's values: a row constructor that MySQL and MariaDB both know. */
async function writeProcessed(connection: Connection, writes: readonly Extract<EventWrite, { kind: 'processed' }>[]): Promise<void> {
  // The id's character set must be the column's, or the join converts the column and loses the primary key.
  const first = 'SELECT CONVERT(? USING ascii) COLLATE ascii_bin AS event_id, ? AS score_change, ? AS level, ? AS details';
  const further = 'SELECT CONVERT(? USING ascii) COLLATE ascii_bin, ?, ?, ?';
  await connection.query(
    `UPDATE conversation_events e
     JOIN (${writes.map((_, i) => (i === 0 ? first : further)).join(' UNION ALL ')}) v ON e.event_id = v.event_id
     SET e.status = 'PROCESSED', e.next_attempt_at = NULL, e.processed_at = UTC_TIMESTAMP(3), e.updated_at = UTC_TIMESTAMP(3),
       e.friendship_score_change = v.score_change, e.new_friendship_level = v.level, e.score_calculation_details = v.details,
       e.error_code = NULL, e.error_details = NULL, e.suspect_starts = 0`,
    writes.flatMap((w) => [w.eventId, w.change, w.level, w.detailsJson]),
  );
}

async function writeUnsuccessful(connection: Connection, write: Exclude<EventWrite, { kind: 'processed' }>): Promise<void> {
  const [status, delayMicros] = write.kind === 'failed' ? ['FAILED', null] : ['PENDING', Math.round(write.delayMs * 1_000)];
  await connection.query(
    `UPDATE conversation_events SET status = ?, attempt_count = ?, error_code = ?, error_details = ?, suspect_starts = 0,
       next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, updated_at = UTC_TIMESTAMP(3)
     WHERE event_id = ?`,
    [status, write.attemptCount, write.code, write.details, delayMicros, write.eventId],
  );
}
