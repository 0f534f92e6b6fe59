import type { EventId } from '../event/event.ts';
import type { Findings, OldEvent, Rescore, RescoreState, ScoredPage } from '../rescore/ports.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import { type ConversationRow, conversationColumns, textOf } from './load-events.ts';
import type { Store } from './open-store.ts';

type RunRow = {
  rescore_id: number;
  scorer: string;
  actor: string;
  state: RescoreState;
  undoes: number | null;
  undone_by: number | null;
  first_id: EventId;
  next_id: EventId;
  most: number | null;
  looked_at: number;
  unchanged: number;
  without_text: number;
  started_at: Date;
};

const selectRuns = `SELECT r.*, (SELECT MAX(u.rescore_id) FROM rescores u
    WHERE u.undoes = r.rescore_id AND u.state IN ('applying', 'applied')) AS undone_by
  FROM rescores r`;

export type NewRescore = Pick<Rescore, 'scorer' | 'actor' | 'firstId' | 'nextId' | 'most'>;

/** @returns its number. */
export async function createRescore(store: Store, run: NewRescore, deadlineMs: number): Promise<number> {
  return withConnection(store, deadlineMs, (connection) => insertRun(connection, run, 'scoring', null));
}

async function insertRun(
  connection: Connection,
  { scorer, actor, firstId, nextId, most }: NewRescore,
  state: RescoreState,
  undoes: number | null,
): Promise<number> {
  const { insertId } = await connection.query<{ insertId: number }>(
    `INSERT INTO rescores (scorer, actor, state, undoes, first_id, next_id, most, started_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`,
    [scorer, actor, state, undoes, firstId, nextId, most],
  );
  return insertId;
}

export async function findRescore(store: Store, id: number, deadlineMs: number): Promise<Rescore | null> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<RunRow[]>(`${selectRuns} WHERE r.rescore_id = ?`, [id]),
  );
  return row === undefined ? null : toRun(row);
}

/** Newest first. */
export async function listRescores(store: Store, limit: number, deadlineMs: number): Promise<Rescore[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<RunRow[]>(`${selectRuns} ORDER BY r.rescore_id DESC LIMIT ?`, [limit]),
  );
  return rows.map(toRun);
}

function toRun(row: RunRow): Rescore {
  return {
    id: row.rescore_id,
    scorer: row.scorer,
    actor: row.actor,
    state: row.state,
    undoes: row.undoes,
    undoneBy: row.undone_by,
    firstId: row.first_id,
    nextId: row.next_id,
    most: row.most,
    lookedAt: Number(row.looked_at),
    unchanged: Number(row.unchanged),
    withoutText: Number(row.without_text),
    startedAt: row.started_at,
  };
}

export async function setRescoreState(
  store: Store,
  id: number,
  state: RescoreState,
  deadlineMs: number,
): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query('UPDATE rescores SET state = ?, updated_at = UTC_TIMESTAMP(3) WHERE rescore_id = ?', [state, id]),
  );
}

/** PROCESSED events with their texts, the newest first. */
export async function readOldEvents(
  store: Store,
  { nextId, firstId, size }: { readonly nextId: EventId; readonly firstId: EventId; readonly size: number },
  deadlineMs: number,
): Promise<OldEvent[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<(ConversationRow & { friendship_score_change: number; details: string | null })[]>(
      `SELECT e.event_id, ${conversationColumns}, e.friendship_score_change, e.score_calculation_details AS details
       FROM conversation_events e FORCE INDEX (PRIMARY) LEFT JOIN conversation_logs l ON l.event_id = e.event_id
       WHERE e.event_id < ? AND e.event_id >= ? AND e.status = 'PROCESSED' ORDER BY e.event_id DESC LIMIT ?`,
      [nextId, firstId, size],
    ),
  );
  return rows.map((row) => ({
    eventId: row.event_id,
    userId: row.user_id,
    change: row.friendship_score_change,
    details: row.details === null ? null : JSON.parse(row.details),
    text: textOf(row),
  }));
}

/** Stores what was found of a page with the progress of its run. Events that are not there any more are left out. */
export function keepRescored(store: Store, id: number, page: ScoredPage, deadlineMs: number): Promise<void> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const there = await stillThere(
      connection,
      page.judgements.map(({ eventId }) => eventId),
    );
    const rows = page.judgements.filter(({ eventId }) => there.has(eventId));
    if (rows.length > 0)
      await connection.query(
        `INSERT INTO rescored_events (rescore_id, event_id, user_id, change_before, change_after, details, error_code)
         VALUES ${rows.map(() => '(?,?,?,?,?,?,?)').join(',')}`,
        rows.flatMap(({ eventId, userId, changeBefore, result }) => [
          ...[id, eventId, userId, changeBefore],
          ...(result.kind === 'scored' ? [result.change, result.detailsJson, null] : [null, null, result.code]),
        ]),
      );
    await connection.query(
      `UPDATE rescores SET next_id = ?, looked_at = looked_at + ?, unchanged = unchanged + ?,
         without_text = without_text + ?, state = ?, updated_at = UTC_TIMESTAMP(3) WHERE rescore_id = ?`,
      [...[page.nextId, page.lookedAt, page.unchanged, page.withoutText], ...[page.isLast ? 'scored' : 'scoring', id]],
    );
  });
}

/** Locked until the transaction ends: whoever removes an event then finds what was stored of it. */
async function stillThere(connection: Connection, ids: readonly EventId[]): Promise<ReadonlySet<EventId>> {
  if (ids.length === 0) return new Set();
  const rows = await connection.query<{ event_id: EventId }[]>(
    `SELECT event_id FROM conversation_events FORCE INDEX (PRIMARY)
     WHERE event_id IN (?) AND status = 'PROCESSED' ORDER BY event_id LOCK IN SHARE MODE`,
    [ids.toSorted()],
  );
  return new Set(rows.map((row) => row.event_id));
}

/** What a run found so far. */
export function findingsOf(store: Store, id: number, deadlineMs: number): Promise<Findings> {
  return withConnection(store, deadlineMs, async (connection) => {
    const differences = await connection.query<{ units: number; events: number }[]>(
      `SELECT CAST((change_after - change_before) * 10000 AS SIGNED) AS units, COUNT(*) AS events
       FROM rescored_events WHERE rescore_id = ? AND error_code IS NULL GROUP BY units ORDER BY units`,
      [id],
    );
    const failures = await connection.query<{ code: string; events: number; example: EventId }[]>(
      `SELECT error_code AS code, COUNT(*) AS events, MAX(event_id) AS example
       FROM rescored_events WHERE rescore_id = ? AND error_code IS NOT NULL GROUP BY error_code`,
      [id],
    );
    const [users] = await connection.query<{ n: number }[]>(
      'SELECT COUNT(DISTINCT user_id) AS n FROM rescored_events WHERE rescore_id = ? AND error_code IS NULL',
      [id],
    );
    return {
      differences: differences.map(({ units, events }) => ({ units: Number(units), events: Number(events) })),
      failures: failures.map((row) => ({ ...row, events: Number(row.events) })),
      users: Number(users?.n ?? 0),
    };
  });
}

/** Users whose results of this run have not been applied, in the order of their ids. */
export async function usersToApply(
  store: Store,
  id: number,
  { after, size }: { readonly after: string; readonly size: number },
  deadlineMs: number,
): Promise<string[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ user_id: string }[]>(
      `SELECT DISTINCT user_id FROM rescored_events FORCE INDEX (ix_rescored_events_run)
       WHERE rescore_id = ? AND user_id > ? AND applied_at IS NULL AND error_code IS NULL ORDER BY user_id LIMIT ?`,
      [id, after, size],
    ),
  );
  return rows.map((row) => row.user_id);
}

/**
 * Makes a run that gives events the results which run `id` replaced. Those that were replaced once more since are left
 * as they are.
 */
export function createUndo(
  store: Store,
  run: NewRescore,
  id: number,
  deadlineMs: number,
): Promise<{ readonly id: number; readonly events: number; readonly replacedSince: number }> {
  return inTransaction(store, deadlineMs, async (connection) => {
    const undo = await insertRun(connection, run, 'scored', id);
    const [since] = await connection.query<{ n: number }[]>(
      `SELECT COUNT(*) AS n FROM score_history h WHERE h.rescore_id = ? AND ${replacedSince}`,
      [id],
    );
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `INSERT INTO rescored_events (rescore_id, event_id, user_id, change_before, change_after, details)
       SELECT ?, h.event_id, h.user_id, e.friendship_score_change, h.friendship_score_change,
         h.score_calculation_details
       FROM score_history h JOIN conversation_events e ON e.event_id = h.event_id
       WHERE h.rescore_id = ? AND e.status = 'PROCESSED' AND NOT ${replacedSince}
         AND NOT (h.friendship_score_change = e.friendship_score_change AND
           CAST(h.score_calculation_details AS CHAR) <=> CAST(e.score_calculation_details AS CHAR))`,
      [undo, id],
    );
    await connection.query('UPDATE rescores SET looked_at = ? WHERE rescore_id = ?', [affectedRows, undo]);
    return { id: undo, events: affectedRows, replacedSince: Number(since?.n ?? 0) };
  });
}

const replacedSince = `EXISTS (
  SELECT 1 FROM score_history later WHERE later.event_id = h.event_id AND later.rescore_id > h.rescore_id)`;
