import type { Friendship } from '../event/friendship.ts';
import type { FriendshipRow, TopicRow } from '../report/ports.ts';
import type { UserRecord, UserWrite } from '../settle/ports.ts';
import { recordAction } from './actions.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import { readLedger } from './ledger.ts';
import type { Store } from './open-store.ts';
import { toFriendship, toTopic, writeFriendships, writeTopics } from './settle-transaction.ts';

/**
 * Reads all that counts for a user, with the user locked, and writes what `decide` returns; null: nothing. Events that
 * are being settled meanwhile wait, and are added to what was written.
 */
export function rebuildUser(
  store: Store,
  userId: string,
  decide: (record: UserRecord) => UserWrite | null,
  by: { readonly actor: string; readonly deadlineMs: number },
): Promise<void> {
  return inTransaction(store, by.deadlineMs, async (connection) => {
    const there = await lockUser(connection, userId);
    if (there === null)
      // As settling does, so that nobody else makes it now.
      await connection.query(
        `INSERT INTO friendship_status (user_id, updated_at) VALUES (?, UTC_TIMESTAMP(3))
         ON DUPLICATE KEY UPDATE user_id = friendship_status.user_id`,
        [userId],
      );
    const held = there ?? (await lockUser(connection, userId));
    const isAdded = there === null && held?.lastInteraction == null;
    const topics = await connection.query<TopicRow[]>(
      'SELECT user_id, topic_id, score, turns, level, last_date FROM friendship_topic_metrics WHERE user_id = ?',
      [userId],
    );
    const record: UserRecord = {
      userId,
      friendship: isAdded ? null : held,
      topics: topics.map(toTopic),
      events: await readEvents(connection, userId),
      ledger: await readLedger(connection, 'user_id = ?', [userId]),
    };
    const wanted = decide(record);
    if (wanted === null) {
      if (isAdded) await connection.query('DELETE FROM friendship_status WHERE user_id = ?', [userId]);
      return;
    }
    const gone = record.topics.filter((t) => !wanted.topics.some(({ topicId }) => topicId === t.topicId));
    for (const { topicId } of gone)
      await connection.query('DELETE FROM friendship_topic_metrics WHERE user_id = ? AND topic_id = ?', [
        userId,
        topicId,
      ]);
    if (wanted.topics.length > 0) await connection.query(...writeTopics(wanted.topics));
    if (wanted.friendship === null) await connection.query('DELETE FROM friendship_status WHERE user_id = ?', [userId]);
    else await connection.query(...writeFriendships([wanted.friendship]));
    await recordAction(connection, { actor: by.actor, kind: 'rebuild', target: userId, value: wanted.why });
  });
}

async function lockUser(connection: Connection, userId: string): Promise<Friendship | null> {
  const [row] = await connection.query<FriendshipRow[]>(
    `SELECT user_id, friendship_score, friendship_level, streak_day, last_interaction_date
     FROM friendship_status WHERE user_id = ? FOR UPDATE`,
    [userId],
  );
  return row === undefined ? null : toFriendship(row);
}

/** In the order in which they were settled; those of one transaction in the order in which they ended. */
async function readEvents(connection: Connection, userId: string): Promise<UserRecord['events']> {
  const rows = await connection.query<
    { agent_tag: string | null; friendship_score_change: number; turns: unknown; is_ours: unknown; end_time: Date }[]
  >(
    `SELECT agent_tag, friendship_score_change, end_time,
       JSON_VALUE(score_calculation_details, '$.total_turns') AS turns,
       JSON_VALUE(score_calculation_details, '$.scorer') LIKE 'friendship@%' AS is_ours
     FROM conversation_events FORCE INDEX (ix_conversation_events_user)
     WHERE user_id = ? AND status = 'PROCESSED' ORDER BY processed_at, end_time`,
    [userId],
  );
  return rows.map((row) => ({
    topicId: row.agent_tag,
    change: row.friendship_score_change,
    turns: Number(row.is_ours) === 1 ? Number(row.turns ?? 0) : null,
    endTime: row.end_time,
  }));
}

/** Users with a friendship, with events, or in the ledger, in the order of their ids. */
export async function usersAfter(store: Store, after: string, size: number, deadlineMs: number): Promise<string[]> {
  const from = (table: string, index: string) =>
    `(SELECT DISTINCT user_id FROM ${table} FORCE INDEX (${index}) WHERE user_id > ? ORDER BY user_id LIMIT ?)`;
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ user_id: string }[]>(
      `SELECT user_id FROM (
         ${from('friendship_status', 'PRIMARY')} UNION
         ${from('friendship_ledger', 'PRIMARY')} UNION
         ${from('conversation_events', 'ix_conversation_events_user')}
       ) AS users ORDER BY user_id LIMIT ?`,
      [after, size, after, size, after, size, size],
    ),
  );
  return rows.map((row) => row.user_id);
}
