import type { ProfileRequest, ProfileResult } from '../diagnostics/ports.ts';
import { recordAction } from './actions.ts';
import { inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** A member's row has its latest request only: an answer to an earlier one finds nothing. */
type RequestRef = { readonly memberId: string; readonly requestId: string };

const ofRequest = 'member_id = ? AND request_id = ?';

/** Claims the request for a profile of this member, if there is one. */
export function claimProfileRequest(
  store: Store,
  memberId: string,
  deadlineMs: number,
): Promise<ProfileRequest | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.prepared<{ request_id: string; subject: ProfileRequest['of']; seconds: number }[]>(
      "SELECT request_id, subject, seconds FROM fleet_profiles WHERE member_id = ? AND state = 'wanted'",
      [memberId],
    );
    if (row === undefined) return null;
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `UPDATE fleet_profiles SET state = 'running' WHERE ${ofRequest} AND state = 'wanted'`,
      [memberId, row.request_id],
    );
    return affectedRows === 0 ? null : { requestId: row.request_id, of: row.subject, seconds: row.seconds };
  });
}

export async function storeProfile(
  store: Store,
  { memberId, requestId }: RequestRef,
  result: ProfileResult,
  deadlineMs: number,
): Promise<void> {
  const [state, content, error] =
    'content' in result ? ['done', result.content, null] : ['failed', null, result.error.slice(0, 255)];
  // Prepared: as text, a profile would be twice as long, and too long for the server's `max_allowed_packet`.
  await withConnection(store, deadlineMs, (connection) =>
    connection.prepared(
      `UPDATE fleet_profiles SET state = ?, content = ?, error = ? WHERE ${ofRequest} AND state = 'running'`,
      [state, content, error, memberId, requestId],
    ),
  );
}

/** How long a request has, besides its seconds, until its operator has the answer. */
const graceSeconds = 60;

/** Asks a member for a profile, and records who asked. @returns false if somebody else waits for one of it. */
export function askForProfile(
  store: Store,
  request: ProfileRequest & { readonly memberId: string; readonly target: string; readonly actor: string },
  deadlineMs: number,
): Promise<boolean> {
  const { memberId, requestId } = request;
  return inTransaction(store, deadlineMs, async (connection) => {
    const [busy] = await connection.query<unknown[]>(
      `SELECT 1 FROM fleet_profiles WHERE member_id = ? AND state IN ('wanted', 'running', 'done')
         AND wanted_at > UTC_TIMESTAMP(3) - INTERVAL seconds + ? SECOND FOR UPDATE`,
      [memberId, graceSeconds],
    );
    if (busy !== undefined) return false;
    // What nobody came for.
    await connection.query(
      `UPDATE fleet_profiles SET state = 'taken', content = NULL
       WHERE state = 'done' AND wanted_at < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR`,
    );
    await connection.query(
      `INSERT INTO fleet_profiles (member_id, request_id, subject, seconds, state, wanted_at)
       VALUES (?, ?, ?, ?, 'wanted', UTC_TIMESTAMP(3))
       ON DUPLICATE KEY UPDATE request_id = VALUES(request_id), subject = VALUES(subject), seconds = VALUES(seconds),
         state = 'wanted', wanted_at = VALUES(wanted_at), error = NULL, content = NULL`,
      [memberId, requestId, request.of, request.seconds],
    );
    await connection.query('UPDATE fleet_members SET asked = asked + 1 WHERE member_id = ?', [memberId]);
    const { actor, target, seconds } = request;
    await recordAction(connection, { actor, kind: 'profile', target, value: String(seconds) });
    return true;
  });
}

/** @returns null if it is not there yet. */
export function readProfile(
  store: Store,
  { memberId, requestId }: RequestRef,
  deadlineMs: number,
): Promise<ProfileResult | null> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [row] = await connection.query<{ content: Buffer | null; error: string | null }[]>(
      `SELECT content, error FROM fleet_profiles WHERE ${ofRequest} AND state IN ('done', 'failed')`,
      [memberId, requestId],
    );
    if (row === undefined) return null;
    return row.content === null ? { error: row.error ?? 'no content' } : { content: row.content };
  });
}

/** Empties the row of a profile that its operator has, or has given up. */
export async function dropProfile(
  store: Store,
  { memberId, requestId }: RequestRef,
  deadlineMs: number,
): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(`UPDATE fleet_profiles SET state = 'taken', content = NULL WHERE ${ofRequest}`, [
      memberId,
      requestId,
    ]),
  );
}
