import type { EventId } from '../event/event.ts';
import type { Page } from '../maintenance/ports.ts';
import { inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** Rows of a page: a few milliseconds of locks. */
const texts = 200;
/** A session may have thousands of messages. */
const sessions = 20;
const lines = 1_000;

/**
 * Removes texts of closed events whose id is below `before`. Those of open ones stay. The events are locked meanwhile,
 * so that none of them is opened again without its text.
 */
export function removeTexts(
  store: Store,
  { after, before }: { readonly after: string; readonly before: EventId },
  deadlineMs: number,
): Promise<Page<string>> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const page = await connection.query<{ event_id: string }[]>(
      'SELECT event_id FROM conversation_logs WHERE event_id > ? AND event_id < ? ORDER BY event_id LIMIT ?',
      [after, before, texts],
    );
    const ids = page.map((row) => row.event_id);
    if (ids.length === 0) return { removed: 0, next: null };
    const events = await connection.query<{ event_id: string; status: string }[]>(
      `SELECT event_id, status FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id IN (?)
       ORDER BY event_id FOR UPDATE`,
      [ids],
    );
    const open = new Set(
      events.filter((e) => e.status === 'PENDING' || e.status === 'PROCESSING').map((e) => e.event_id),
    );
    const closed = ids.filter((id) => !open.has(id));
    if (closed.length > 0) await connection.query('DELETE FROM conversation_logs WHERE event_id IN (?)', [closed]);
    return { removed: closed.length, next: ids.length < texts ? null : (ids.at(-1) ?? null) };
  });
}

/** Removes ended sessions that were last active before a time, with what was said in them. */
export function removeSessions(store: Store, before: Date, deadlineMs: number): Promise<Page<true>> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const page = await connection.query<{ session_id: string }[]>(
      `SELECT session_id FROM chat_sessions FORCE INDEX (ix_chat_sessions_state)
       WHERE state = 'ended' AND active_at < ? ORDER BY active_at LIMIT ? FOR UPDATE SKIP LOCKED`,
      [before, sessions],
    );
    const ids = page.map((row) => row.session_id);
    if (ids.length > 0) {
      await connection.query('DELETE FROM chat_messages WHERE session_id IN (?)', [ids]);
      await connection.query('DELETE FROM chat_sessions WHERE session_id IN (?)', [ids]);
    }
    return { removed: ids.length, next: ids.length < sessions ? null : true };
  });
}

/** Removes lines of the feed. They are in the order of their times but for a second or so. */
export function removeFeedLines(store: Store, before: Date, deadlineMs: number): Promise<Page<true>> {
  return oldest(store, { table: 'closed_events', key: 'seq', time: 'closed_at' }, before, deadlineMs);
}

export function removeRuns(store: Store, before: Date, deadlineMs: number): Promise<Page<true>> {
  return oldest(store, { table: 'maintenance_runs', key: 'run_id', time: 'started_at' }, before, deadlineMs);
}

export function removeErasedIds(store: Store, before: Date, deadlineMs: number): Promise<Page<true>> {
  return withConnection(store, deadlineMs, async (connection) => {
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      'DELETE FROM erased_ids WHERE erased_at < ? LIMIT ?',
      [before, lines],
    );
    return { removed: affectedRows, next: affectedRows < lines ? null : true };
  });
}

/** What runs of `afterword rescore` found, if nothing was done with them since. What was replaced stays. */
export function removeRescored(store: Store, before: Date, deadlineMs: number): Promise<Page<true>> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [run] = await connection.query<{ id: number }[]>(
      `SELECT rescore_id AS id FROM rescores AS r WHERE updated_at < ? AND EXISTS
         (SELECT 1 FROM rescored_events AS e WHERE e.rescore_id = r.rescore_id) ORDER BY rescore_id LIMIT 1`,
      [before],
    );
    if (run === undefined) return { removed: 0, next: null };
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      'DELETE FROM rescored_events WHERE rescore_id = ? ORDER BY event_id LIMIT ?',
      [run.id, lines],
    );
    return { removed: affectedRows, next: true };
  });
}

/** Those among the first rows of a table that are old: never a scan of the rest. */
function oldest(
  store: Store,
  { table, key, time }: { readonly table: string; readonly key: string; readonly time: string },
  before: Date,
  deadlineMs: number,
): Promise<Page<true>> {
  return withConnection(store, deadlineMs, async (connection) => {
    const rows = await connection.query<{ id: number; at: Date }[]>(
      `SELECT ${key} AS id, ${time} AS at FROM ${table} ORDER BY ${key} LIMIT ?`,
      [lines],
    );
    const old = rows.filter(({ at }) => at < before).map(({ id }) => id);
    if (old.length > 0) await connection.query(`DELETE FROM ${table} WHERE ${key} IN (?)`, [old]);
    return { removed: old.length, next: old.length < lines ? null : true };
  });
}
