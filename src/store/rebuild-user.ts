import type { UserRecord, UserWrite } from '../settle/ports.ts';
import { recordAction } from './actions.ts';
import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';
import { readRecord, removeFriendship, replaceFriendship, withUserLocked } from './user-record.ts';

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
  return withUserLocked(store, userId, by.deadlineMs, async (connection, user) => {
    const record = await readRecord(connection, user);
    const wanted = decide(record);
    if (wanted === null) {
      if (user.isAdded) await removeFriendship(connection, userId);
      return;
    }
    await replaceFriendship(connection, record, wanted);
    await recordAction(connection, { actor: by.actor, kind: 'rebuild', target: userId, value: wanted.why });
  });
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
