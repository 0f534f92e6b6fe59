import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/**
 * Writes the time for replicas to copy.
 * @returns the time, and the one that was there before; null: none. Both by the primary's clock.
 */
export function beatForReplicas(
  store: Store,
  deadlineMs: number,
): Promise<{ readonly now: Date; readonly before: Date | null }> {
  return withConnection(store, deadlineMs, async (connection) => {
    const before = await readRow(connection);
    await connection.query(
      `INSERT INTO replica_beats (beat_id, beaten_at) VALUES (1, UTC_TIMESTAMP(3))
       ON DUPLICATE KEY UPDATE beaten_at = GREATEST(beaten_at, VALUES(beaten_at))`,
    );
    const now = await readRow(connection);
    return { now: now ?? new Date(Number.NaN), before };
  });
}

/** The time that has arrived here; null: none. */
export function readBeat(store: Store, deadlineMs: number): Promise<Date | null> {
  return withConnection(store, deadlineMs, readRow);
}

async function readRow(connection: Parameters<Parameters<typeof withConnection>[2]>[0]): Promise<Date | null> {
  const [row] = await connection.query<{ beaten_at: Date }[]>('SELECT beaten_at FROM replica_beats WHERE beat_id = 1');
  return row?.beaten_at ?? null;
}
