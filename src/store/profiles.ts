import type { ProfileResult, ProfileWish } from '../profile/ports.ts';
import { inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** Takes the wish for a profile of this member, if there is one. */
export function takeWish(store: Store, memberId: string, deadlineMs: number): Promise<ProfileWish | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [wish] = await connection.prepared<{ subject: ProfileWish['of']; seconds: number }[]>(
      "SELECT subject, seconds FROM fleet_profiles WHERE member_id = ? AND state = 'wanted'",
      [memberId],
    );
    if (wish === undefined) return null;
    await connection.query("UPDATE fleet_profiles SET state = 'running' WHERE member_id = ? AND state = 'wanted'", [
      memberId,
    ]);
    return { of: wish.subject, seconds: wish.seconds };
  });
}

export async function storeProfile(
  store: Store,
  memberId: string,
  result: ProfileResult,
  deadlineMs: number,
): Promise<void> {
  const [state, content, error] =
    'content' in result ? ['done', result.content, null] : ['failed', null, result.error.slice(0, 255)];
  await withConnection(store, deadlineMs, (connection) =>
    connection.query('UPDATE fleet_profiles SET state = ?, content = ?, error = ? WHERE member_id = ?', [
      state,
      content,
      error,
      memberId,
    ]),
  );
}

/** How long a member has for a profile, besides its seconds. One that has died never answers. */
const graceSeconds = 60;

/** Asks a member for a profile, and records who asked. @returns false if one is being taken for somebody else. */
export function askForProfile(
  store: Store,
  wish: ProfileWish & { readonly memberId: string; readonly target: string; readonly actor: string },
  deadlineMs: number,
): Promise<boolean> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const [busy] = await connection.query<unknown[]>(
      `SELECT 1 FROM fleet_profiles WHERE member_id = ? AND state IN ('wanted', 'running')
         AND wanted_at > UTC_TIMESTAMP(3) - INTERVAL seconds + ? SECOND FOR UPDATE`,
      [wish.memberId, graceSeconds],
    );
    if (busy !== undefined) return false;
    await connection.query(
      `INSERT INTO fleet_profiles (member_id, subject, seconds, state, wanted_at)
       VALUES (?, ?, ?, 'wanted', UTC_TIMESTAMP(3))
       ON DUPLICATE KEY UPDATE subject = VALUES(subject), seconds = VALUES(seconds), state = 'wanted',
         wanted_at = VALUES(wanted_at), error = NULL, content = NULL`,
      [wish.memberId, wish.of, wish.seconds],
    );
    await connection.query('UPDATE fleet_members SET asked = asked + 1 WHERE member_id = ?', [wish.memberId]);
    await connection.query(
      `INSERT INTO operator_actions (acted_at, actor, action, target, value)
       VALUES (UTC_TIMESTAMP(3), ?, 'profile', ?, ?)`,
      [wish.actor.slice(0, 255), wish.target, String(wish.seconds)],
    );
    return true;
  });
}

/** @returns the profile, and empties its row; null if it is not there yet. */
export function takeProfile(store: Store, memberId: string, deadlineMs: number): Promise<ProfileResult | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.query<{ content: Buffer | null; error: string | null }[]>(
      "SELECT content, error FROM fleet_profiles WHERE member_id = ? AND state IN ('done', 'failed')",
      [memberId],
    );
    if (row === undefined) return null;
    await connection.query("UPDATE fleet_profiles SET state = 'taken', content = NULL WHERE member_id = ?", [memberId]);
    return row.content === null ? { error: row.error ?? 'no content' } : { content: row.content };
  });
}
