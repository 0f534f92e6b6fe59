import type { EraseUser, Found } from '../erasure/ports.ts';
import { type EventId, type EventStatus, isOpen } from '../event/event.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

const pageSize = 200;
const sessionsAtOnce = 20;

/** Removes what the tables have of a user, in short transactions. */
export function userEraser(store: Store, deadlineMs: number): EraseUser {
  return {
    sessionIds: (userId) =>
      withConnection(store, deadlineMs, async (connection) => {
        const rows = await connection.query<{ session_id: string }[]>(
          'SELECT session_id FROM chat_sessions WHERE user_id = ?',
          [userId],
        );
        return rows.map((row) => row.session_id);
      }),

    rememberSessions: (ids) =>
      ids.length === 0
        ? Promise.resolve()
        : withConnection(store, deadlineMs, (connection) => remember(connection, ids)),

    sessions: (userId) =>
      inTransaction(store, deadlineMs, async (connection) => {
        const rows = await connection.query<{ session_id: string }[]>(
          'SELECT session_id FROM chat_sessions WHERE user_id = ? ORDER BY session_id LIMIT ? FOR UPDATE',
          [userId, sessionsAtOnce],
        );
        const ids = rows.map((row) => row.session_id);
        if (ids.length === 0) return 0;
        await remember(connection, ids);
        await connection.query('DELETE FROM chat_messages WHERE session_id IN (?)', [ids]);
        await connection.query('DELETE FROM chat_sessions WHERE session_id IN (?)', [ids]);
        return ids.length;
      }),

    events: (userId) =>
      inTransaction(store, deadlineMs, async (connection) => {
        const found = await connection.query<{ event_id: EventId }[]>(
          `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_user)
           WHERE user_id = ? ORDER BY event_id LIMIT ?`,
          [userId, pageSize],
        );
        if (found.length === 0) return [];
        // By the primary key and in its order, as settling locks them.
        const rows = await connection.query<{ event_id: EventId; status: EventStatus }[]>(
          `SELECT event_id, status FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id IN (?)
           ORDER BY event_id FOR UPDATE`,
          [found.map((row) => row.event_id)],
        );
        const ids = rows.map((row) => row.event_id);
        if (ids.length === 0) return found.map((row) => row.event_id); // removed meanwhile; there may be others
        // The broker may have a message of these, and a worker may be scoring them.
        const open = rows.filter((row) => isOpen(row.status)).map((row) => row.event_id);
        if (open.length > 0) await remember(connection, open);
        for (const table of ['webhook_deliveries', 'rescored_events', 'score_history'])
          await connection.query(`DELETE FROM ${table} WHERE event_id IN (?)`, [ids]);
        await connection.query('DELETE FROM conversation_logs WHERE event_id IN (?)', [ids]);
        await connection.query('DELETE FROM conversation_events WHERE event_id IN (?)', [ids]);
        return ids;
      }),

    friendship: (userId) =>
      inTransaction(store, deadlineMs, async (connection) => {
        // Whoever settles an event of this user waits for this lock, or has committed: then the event is seen here.
        await connection.query('SELECT 1 FROM friendship_status WHERE user_id = ? FOR UPDATE', [userId]);
        const left = await connection.query<unknown[]>(
          'SELECT 1 FROM conversation_events FORCE INDEX (ix_conversation_events_user) WHERE user_id = ? LIMIT 1',
          [userId],
        );
        if (left.length > 0) return false;
        for (const table of ['friendship_topic_metrics', 'friendship_ledger', 'friendship_status'])
          await connection.query(`DELETE FROM ${table} WHERE user_id = ?`, [userId]);
        return true;
      }),

    search: (userId) =>
      withConnection(store, deadlineMs, async (connection): Promise<Found> => {
        const found: Record<string, number> = {};
        for (const table of searched) {
          const [row] = await connection.query<{ n: number }[]>(
            `SELECT COUNT(*) AS n FROM (SELECT 1 FROM ${table} WHERE user_id = ? LIMIT 1000) AS found`,
            [userId],
          );
          if (Number(row?.n) > 0) found[table] = Number(row?.n);
        }
        return found;
      }),
  };
}

/** Every table with a `user_id` (a test compares them with the schema). */
export const searched = [
  'conversation_events',
  'chat_sessions',
  'friendship_status',
  'friendship_topic_metrics',
  'friendship_ledger',
  'rescored_events',
  'score_history',
] as const;

/** As hashes: nothing of the user stays. */
async function remember(connection: Connection, ids: readonly string[]): Promise<void> {
  await connection.query(
    `INSERT INTO erased_ids (id_hash, erased_at)
     VALUES ${ids.map(() => '(UNHEX(SHA2(?, 256)), UTC_TIMESTAMP(3))').join(',')}
     ON DUPLICATE KEY UPDATE erased_at = UTC_TIMESTAMP(3)`,
    ids,
  );
}

/** When the user of an event or session was erased; null: not within a month. */
export async function erasedAt(store: Store, id: string, deadlineMs: number): Promise<Date | null> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ erased_at: Date }[]>('SELECT erased_at FROM erased_ids WHERE id_hash = UNHEX(SHA2(?, 256))', [
      id,
    ]),
  );
  return row?.erased_at ?? null;
}
