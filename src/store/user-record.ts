import type { EventId } from '../event/event.ts';
import { codeOf } from '../event/fault.ts';
import type { Friendship, FriendshipLevel } from '../event/friendship.ts';
import type { FriendshipRow, TopicRow } from '../report/ports.ts';
import type { CountedEvent, Rebuilt, UserRecord } from '../settle/ports.ts';
import { type Connection, inTransaction } from './connection.ts';
import { readLedger } from './ledger.ts';
import type { Store } from './open-store.ts';
import { toFriendship, toTopic, writeFriendships, writeTopics } from './settle-transaction.ts';

/** Of a statement that names many ids. */
const idsAtOnce = 5_000;
/** The fleet may lock rows of the same user in another order. */
const mostTries = 5;

/** A user whose row, and whose PROCESSED events, are locked until the transaction ends. */
export type LockedUser = {
  readonly userId: string;
  readonly eventIds: readonly EventId[];
  /** The row was made for the lock. */
  readonly isAdded: boolean;
};

/**
 * Runs `work` with a user locked: none of their events is settled, removed or rescored meanwhile. First the events and
 * then the user, as settling does; those that were settled in between are locked last.
 *
 * @throws {PipelineError}
 */
export async function withUserLocked<T>(
  store: Store,
  userId: string,
  deadlineMs: number,
  work: (connection: Connection, user: LockedUser) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await inTransaction(store, deadlineMs, async (connection) => {
        const first = await lockProcessed(connection, userId, new Set());
        const isAdded = await lockUser(connection, userId);
        const later = await lockProcessed(connection, userId, new Set(first));
        return work(connection, { userId, eventIds: [...first, ...later], isAdded });
      });
    } catch (error) {
      if (tries === mostTries || !['DATABASE_DEADLOCK', 'DATABASE_LOCKED'].includes(codeOf(error))) throw error;
    }
  }
}

/** @returns those that are still there. What was removed meanwhile is in the ledger by then. */
async function lockProcessed(connection: Connection, userId: string, known: ReadonlySet<EventId>): Promise<EventId[]> {
  const rows = await connection.query<{ event_id: EventId }[]>(
    `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_user)
     WHERE user_id = ? AND status = 'PROCESSED' ORDER BY event_id`,
    [userId],
  );
  const ids = rows.map((row) => row.event_id).filter((id) => !known.has(id));
  const locked: EventId[] = [];
  for (const some of inParts(ids)) {
    const there = await connection.query<{ event_id: EventId }[]>(
      `SELECT event_id FROM conversation_events FORCE INDEX (PRIMARY)
       WHERE event_id IN (?) AND status = 'PROCESSED' ORDER BY event_id FOR UPDATE`,
      [some],
    );
    locked.push(...there.map((row) => row.event_id));
  }
  return locked;
}

/** @returns whether it had to be made. */
async function lockUser(connection: Connection, userId: string): Promise<boolean> {
  const sql = 'SELECT 1 FROM friendship_status WHERE user_id = ? FOR UPDATE';
  if ((await connection.query<unknown[]>(sql, [userId])).length > 0) return false;
  // As settling does, so that nobody else makes it now.
  await connection.query(
    `INSERT INTO friendship_status (user_id, updated_at) VALUES (?, UTC_TIMESTAMP(3))
     ON DUPLICATE KEY UPDATE user_id = friendship_status.user_id`,
    [userId],
  );
  const [row] = await connection.query<{ last: Date | null }[]>(
    'SELECT last_interaction_date AS last FROM friendship_status WHERE user_id = ? FOR UPDATE',
    [userId],
  );
  return row?.last == null;
}

/** All that counts for a locked user, with what this transaction has changed. */
export async function readRecord(connection: Connection, user: LockedUser): Promise<UserRecord> {
  const { userId } = user;
  const topics = await connection.query<TopicRow[]>(
    'SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics WHERE user_id = ?',
    [userId],
  );
  return {
    userId,
    friendship: user.isAdded ? null : await readFriendship(connection, userId),
    topics: topics.map(toTopic),
    events: await readEvents(connection, user.eventIds),
    ledger: await readLedger(connection, 'user_id = ?', [userId]),
  };
}

async function readFriendship(connection: Connection, userId: string): Promise<Friendship | null> {
  const [row] = await connection.query<FriendshipRow[]>(
    `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date
     FROM friendship_status WHERE user_id = ?`,
    [userId],
  );
  return row === undefined ? null : toFriendship(row);
}

/** In the order in which they were settled; those of one transaction in the order in which they ended. */
async function readEvents(connection: Connection, ids: readonly EventId[]): Promise<CountedEvent[]> {
  const rows: EventRow[] = [];
  for (const some of inParts(ids))
    rows.push(
      ...(await connection.query<EventRow[]>(
        `SELECT event_id, agent_tag, friendship_score_change, new_friendship_level, end_time, processed_at,
           JSON_VALUE(score_calculation_details, '$.total_turns') AS turns,
           JSON_VALUE(score_calculation_details, '$.scorer') LIKE 'friendship@%' AS is_ours
         FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id IN (?)`,
        [some],
      )),
    );
  const time = (a: Date, b: Date) => a.getTime() - b.getTime();
  return rows
    .sort((a, b) => time(a.processed_at, b.processed_at) || time(a.end_time, b.end_time))
    .map((row) => ({
      eventId: row.event_id,
      topicId: row.agent_tag,
      change: row.friendship_score_change,
      level: row.new_friendship_level,
      turns: Number(row.is_ours) === 1 ? Number(row.turns ?? 0) : null,
      endTime: row.end_time,
    }));
}

type EventRow = {
  event_id: EventId;
  agent_tag: string | null;
  friendship_score_change: number;
  new_friendship_level: FriendshipLevel;
  turns: unknown;
  is_ours: unknown;
  end_time: Date;
  processed_at: Date;
};

/** Writes friendship and topics of a locked user in the place of what `before` has. */
export async function replaceFriendship(connection: Connection, before: UserRecord, after: Rebuilt): Promise<void> {
  const { userId } = before;
  const gone = before.topics.filter((t) => !after.topics.some(({ topicId }) => topicId === t.topicId));
  for (const { topicId } of gone)
    await connection.query('DELETE FROM friendship_topic_metrics WHERE user_id = ? AND topic_id = ?', [
      userId,
      topicId,
    ]);
  if (after.topics.length > 0) await connection.query(...writeTopics(after.topics));
  if (after.friendship === null) await removeFriendship(connection, userId);
  else await connection.query(...writeFriendships([after.friendship]));
}

/** Of somebody who has none, after all. */
export async function removeFriendship(connection: Connection, userId: string): Promise<void> {
  await connection.query('DELETE FROM friendship_status WHERE user_id = ?', [userId]);
}

export function inParts<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / idsAtOnce) }, (_, i) =>
    all.slice(i * idsAtOnce, (i + 1) * idsAtOnce),
  );
}
