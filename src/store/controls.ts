import type { Control, ControlKind, Controls } from '../members/ports.ts';
import { recordAction } from './actions.ts';
import { inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** The target that means every worker. */
export const everyWorker = 'all';

type Row = {
  target: string;
  paused: 0 | 1;
  concurrency: number | null;
  is_drained: 0 | 1;
};

/** What a worker should do: the controls of all workers, and its own on top. */
export async function readControls(
  store: Store,
  member: { readonly memberId: string; readonly target: string },
  deadlineMs: number,
): Promise<Controls> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.prepared<Row[]>(
      `SELECT c.target, c.paused, c.concurrency, COALESCE(c.drained_at > m.started_at, 0) AS is_drained
       FROM fleet_controls c LEFT JOIN fleet_members m ON m.member_id = ? WHERE c.target IN (?, ?)`,
      [member.memberId, everyWorker, member.target],
    ),
  );
  const own = rows.find(({ target }) => target === member.target);
  const all = rows.find(({ target }) => target === everyWorker);
  return {
    isPaused: rows.some(({ paused }) => paused === 1),
    concurrency: own?.concurrency ?? all?.concurrency ?? null,
    isDrained: rows.some(({ is_drained }) => Number(is_drained) === 1),
  };
}

/** SQL of each action on a row of `fleet_controls`. A worker that was drained stays paused when it comes back. */
const changes: Readonly<Record<ControlKind, string>> = {
  pause: 'paused = 1',
  resume: 'paused = 0, drained_at = NULL',
  concurrency: 'concurrency = ?',
  drain: 'paused = 1, drained_at = UTC_TIMESTAMP(3)',
};

/** Sets a control and records who did it, together. */
export async function act(
  store: Store,
  action: {
    readonly kind: ControlKind;
    readonly target: string;
    readonly value: number | null;
    readonly actor: string;
  },
  deadlineMs: number,
): Promise<void> {
  const { kind, target, value, actor } = action;
  const params = kind === 'concurrency' ? [value] : [];
  await inTransaction(store, deadlineMs, async (connection) => {
    await connection.query(
      `INSERT INTO fleet_controls (target, updated_at) VALUES (?, UTC_TIMESTAMP(3))
       ON DUPLICATE KEY UPDATE updated_at = VALUES(updated_at)`,
      [target],
    );
    // What is said to all workers takes the place of what was said to each.
    if (target === everyWorker && (kind === 'resume' || kind === 'concurrency'))
      await connection.query(`UPDATE fleet_controls SET ${kind === 'resume' ? changes.resume : 'concurrency = NULL'}`);
    await connection.query(`UPDATE fleet_controls SET ${changes[kind]} WHERE target = ?`, [...params, target]);
    await connection.query(
      'UPDATE fleet_members SET asked = asked + 1 WHERE seen_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY',
    );
    await recordAction(connection, { actor, kind, target, value: value === null ? null : String(value) });
  });
}

/** Controls that are not as a fleet begins. */
export async function listControls(store: Store, deadlineMs: number): Promise<Control[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ target: string; paused: 0 | 1; concurrency: number | null }[]>(
      `SELECT target, paused, concurrency FROM fleet_controls
       WHERE paused = 1 OR concurrency IS NOT NULL ORDER BY target`,
    ),
  );
  return rows.map(({ target, paused, concurrency }) => ({ target, isPaused: paused === 1, concurrency }));
}
