import type { ApiKey, KeyChanges, KnownKey } from '../access/ports.ts';
import { lostAfterMs } from '../members/ports.ts';
import type { Scope } from '../runtime/http/caller.ts';
import { recordAction } from './actions.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import { isDuplicate } from './errors.ts';
import type { Store } from './open-store.ts';

type Row = {
  key_id: string;
  name: string;
  hash: Buffer;
  hashed_with: string;
  scopes: string;
  bound_to: string | null;
  per_minute: number | null;
  created_at: Date;
  created_by: string;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
};

const columns =
  'key_id, name, hash, hashed_with, scopes, bound_to, per_minute, created_at, created_by, expires_at, revoked_at, ' +
  'last_used_at';
/** A transaction that began earlier may be committed later; and a clock that was ahead may have been put right. */
const overlapSeconds = 60;

/** @param since  the `newest` of an earlier call; null: every key. */
export function readKeyChanges(store: Store, since: Date | null, deadlineMs: number): Promise<KeyChanges> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [rows, [newest], [members]] = (await connection.batch([
      [
        `SELECT ${columns} FROM api_keys
         WHERE updated_at > LEAST(?, UTC_TIMESTAMP(3)) - INTERVAL ${overlapSeconds} SECOND`,
        [since ?? new Date('1970-01-02T00:00:00Z')],
      ],
      ['SELECT MAX(updated_at) AS at FROM api_keys'],
      [
        `SELECT COUNT(*) AS n FROM fleet_members
         WHERE role = 'api' AND state <> 'stopped' AND seen_at > UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND`,
        [lostAfterMs * 1_000],
      ],
    ])) as [Row[], [{ at: Date | null }], [{ n: number }]];
    return { keys: rows.map(keyIn), newest: newest.at, apis: Number(members.n) };
  });
}

/** To the minute: keys in use cost one write a minute. */
export async function markKeysUsed(store: Store, keyIds: readonly string[], deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(
      `UPDATE api_keys SET last_used_at = UTC_TIMESTAMP(0) WHERE key_id IN (?)
         AND (last_used_at IS NULL OR last_used_at < UTC_TIMESTAMP(0) - INTERVAL 59 SECOND)`,
      [keyIds],
    ),
  );
}

/** Newest first. */
export async function listKeys(store: Store, deadlineMs: number): Promise<KnownKey[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<Row[]>(`SELECT ${columns} FROM api_keys ORDER BY created_at DESC, key_id`),
  );
  return rows.map(knownKeyIn);
}

type NewKey = Omit<ApiKey, 'revokedAt' | 'expiresAt'>;

/** @returns null, and nothing is stored, if a valid key has this name. */
export async function createKey(
  store: Store,
  key: NewKey,
  options: { readonly actor: string; readonly validMs: number | null; readonly deadlineMs: number },
): Promise<KnownKey | null> {
  const { actor, validMs, deadlineMs } = options;
  try {
    return await inTransaction(store, deadlineMs, async (connection) => {
      await connection.query(
        `UPDATE api_keys SET current_name = NULL WHERE current_name = ? AND expires_at <= UTC_TIMESTAMP(3)`,
        [key.name],
      );
      await connection.query(
        `INSERT INTO api_keys (key_id, name, current_name, hash, hashed_with, scopes, bound_to, per_minute, created_at,
           created_by, expires_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), ?, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND,
           UTC_TIMESTAMP(3))`,
        [
          ...[key.keyId, key.name, key.name, key.hash, key.hashedWith, key.scopes.join(','), key.boundTo],
          ...[key.perMinute, actor.slice(0, 255), validMs === null ? null : validMs * 1_000],
        ],
      );
      await recordAction(connection, { actor, kind: 'key-create', target: key.name, value: key.scopes.join(',') });
      return readKey(connection, key.keyId);
    });
  } catch (error) {
    if (isDuplicate(error)) return null;
    throw error;
  }
}

/**
 * Another token for the key of this name, with the same rights; the one before ends after `graceMs`.
 * @returns null if no valid key has this name.
 */
export function rotateKey(
  store: Store,
  name: string,
  next: Pick<NewKey, 'keyId' | 'hash' | 'hashedWith'>,
  options: {
    readonly actor: string;
    readonly graceMs: number;
    /** Null: it ends when the one before would have. */
    readonly validMs: number | null;
    readonly deadlineMs: number;
  },
): Promise<KnownKey | null> {
  const { actor, graceMs, validMs } = options;
  return inTransaction(store, options.deadlineMs, async (connection) => {
    const [old] = await connection.query<Row[]>(
      `SELECT ${columns} FROM api_keys
       WHERE current_name = ? AND (expires_at IS NULL OR expires_at > UTC_TIMESTAMP(3)) FOR UPDATE`,
      [name],
    );
    if (old === undefined) return null;
    await connection.query(
      `UPDATE api_keys SET current_name = NULL, updated_at = UTC_TIMESTAMP(3),
         expires_at = LEAST(COALESCE(expires_at, '9999-12-31'), UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)
       WHERE key_id = ?`,
      [graceMs * 1_000, old.key_id],
    );
    await connection.query(
      `INSERT INTO api_keys (key_id, name, current_name, hash, hashed_with, scopes, bound_to, per_minute, created_at,
         created_by, expires_at, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), ?,
         COALESCE(UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, ?), UTC_TIMESTAMP(3))`,
      [
        ...[next.keyId, name, name, next.hash, next.hashedWith, old.scopes, old.bound_to, old.per_minute],
        ...[actor.slice(0, 255), validMs === null ? null : validMs * 1_000, old.expires_at],
      ],
    );
    await recordAction(connection, { actor, kind: 'key-rotate', target: name, value: next.keyId });
    return readKey(connection, next.keyId);
  });
}

/** @param nameOrId  a name means all of its valid keys. @returns the ids of those that were revoked now. */
export function revokeKeys(
  store: Store,
  nameOrId: string,
  { actor, deadlineMs }: { readonly actor: string; readonly deadlineMs: number },
): Promise<string[]> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const rows = await connection.query<{ key_id: string; name: string }[]>(
      'SELECT key_id, name FROM api_keys WHERE (name = ? OR key_id = ?) AND revoked_at IS NULL FOR UPDATE',
      [nameOrId, nameOrId],
    );
    const ids = rows.map((row) => row.key_id);
    if (ids.length === 0) return ids;
    await connection.query(
      `UPDATE api_keys SET current_name = NULL, revoked_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3)
       WHERE key_id IN (?)`,
      [ids],
    );
    for (const { name, key_id } of rows)
      await recordAction(connection, { actor, kind: 'key-revoke', target: name, value: key_id });
    return ids;
  });
}

async function readKey(connection: Connection, keyId: string): Promise<KnownKey> {
  const [row] = await connection.query<Row[]>(`SELECT ${columns} FROM api_keys WHERE key_id = ?`, [keyId]);
  return knownKeyIn(row as Row);
}

function keyIn(row: Row): ApiKey {
  return {
    keyId: row.key_id,
    name: row.name,
    hash: row.hash,
    hashedWith: row.hashed_with.trim(),
    scopes: row.scopes.split(',') as Scope[],
    boundTo: row.bound_to,
    perMinute: row.per_minute,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}

function knownKeyIn(row: Row): KnownKey {
  return { ...keyIn(row), createdAt: row.created_at, createdBy: row.created_by, lastUsedAt: row.last_used_at };
}
