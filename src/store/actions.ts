import type { Action } from '../operate/ports.ts';
import { type Connection, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

type NewAction = Omit<Action, 'actedAt'>;

/** Records what an operator does, in the transaction that does it. */
export async function recordAction(connection: Connection, { actor, kind, target, value }: NewAction): Promise<void> {
  await connection.query(
    'INSERT INTO operator_actions (acted_at, actor, action, target, value) VALUES (UTC_TIMESTAMP(3), ?, ?, ?, ?)',
    [actor.slice(0, 255), kind, target.slice(0, 255), value?.slice(0, 255) ?? null],
  );
}

/** The same for what is done elsewhere than in the database. */
export function noteAction(store: Store, action: NewAction, deadlineMs: number): Promise<void> {
  return withConnection(store, deadlineMs, (connection) => recordAction(connection, action));
}

/** Newest first. */
export async function listActions(store: Store, limit: number, deadlineMs: number): Promise<Action[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<(Omit<Action, 'actedAt' | 'kind'> & { acted_at: Date; action: Action['kind'] })[]>(
      'SELECT acted_at, actor, action, target, value FROM operator_actions ORDER BY action_id DESC LIMIT ?',
      [limit],
    ),
  );
  return rows.map(({ acted_at, action, ...rest }) => ({ ...rest, actedAt: acted_at, kind: action }));
}
