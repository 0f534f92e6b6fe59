import { firstEventIdAt } from '../event/event.ts';
import { addToLedger, type RemovedEvent } from '../event/ledger.ts';
import type { Page } from '../maintenance/ports.ts';
import { inTransaction } from './connection.ts';
import { type LedgerRow, readLedger, writeLedger } from './ledger.ts';
import type { Store } from './open-store.ts';

const pageSize = 200;

type Row = {
  event_id: string;
  user_id: string;
  agent_tag: string | null;
  status: string;
  change_units: number;
  turns: number | null;
  is_ours: number | null;
  end_time: Date;
  processed_at: Date;
};

/**
 * Removes events that were accepted, that ended and that were closed before a time, with their texts and what was sent
 * of them; what the processed ones came to goes to the ledger of their users, in the same transaction. Whoever posts
 * such a conversation again is told that it is too old (accept/request.ts), so that none counts twice.
 */
export function removeEvents(
  store: Store,
  { after, before }: { readonly after: string; readonly before: Date },
  deadlineMs: number,
): Promise<Page<string>> {
  return inTransaction(store, deadlineMs, async (connection) => {
    // What is locked is in use, and is met again the next time.
    const rows = await connection.query<Row[]>(
      `SELECT event_id, user_id, agent_tag, status,
         CAST(COALESCE(friendship_score_change, 0) * 10000 AS SIGNED) AS change_units,
         JSON_VALUE(score_calculation_details, '$.total_turns') AS turns,
         JSON_VALUE(score_calculation_details, '$.scorer') LIKE 'friendship@%' AS is_ours, end_time, processed_at
       FROM conversation_events FORCE INDEX (PRIMARY)
       WHERE event_id > ? AND event_id < ? AND end_time < ?
         AND COALESCE(processed_at, updated_at) < ?
         AND status IN ('PROCESSED', 'FAILED', 'SKIPPED')
       ORDER BY event_id LIMIT ? FOR UPDATE SKIP LOCKED`,
      [after, firstEventIdAt(before), before, before, pageSize],
    );
    if (rows.length === 0) return { removed: 0, next: null };
    const processed = rows.filter((row) => row.status === 'PROCESSED');
    if (processed.length > 0) {
      const users = [...new Set(processed.map((row) => row.user_id))].sort();
      const there = await readLedger(connection, 'user_id IN (?)', [users], 'FOR UPDATE');
      await writeLedger(connection, addUp(there, processed));
    }
    const ids = rows.map((row) => row.event_id);
    await connection.query("DELETE FROM webhook_deliveries WHERE event_id IN (?) AND state <> 'PENDING'", [ids]);
    for (const table of ['rescored_events', 'score_history', 'conversation_logs'])
      await connection.query(`DELETE FROM ${table} WHERE event_id IN (?)`, [ids]);
    await connection.query('DELETE FROM conversation_events WHERE event_id IN (?)', [ids]);
    return { removed: ids.length, next: ids.length < pageSize ? null : (ids.at(-1) ?? null) };
  });
}

function addUp(there: readonly LedgerRow[], rows: readonly Row[]): LedgerRow[] {
  const key = (userId: string, topicId: string | null) => JSON.stringify([userId, topicId]);
  const before = new Map(there.map((line) => [key(line.userId, line.topicId), line]));
  const groups = new Map<string, { userId: string; topicId: string | null; removed: RemovedEvent[] }>();
  for (const row of rows) {
    const removed: RemovedEvent = {
      change: Number(row.change_units),
      turns: row.is_ours === 1 ? Number(row.turns ?? 0) : null,
      endTime: row.end_time,
      processedAt: row.processed_at,
    };
    for (const topicId of row.agent_tag === null ? [null] : [null, row.agent_tag]) {
      const id = key(row.user_id, topicId);
      const group = groups.get(id) ?? { userId: row.user_id, topicId, removed: [] };
      group.removed.push(removed);
      groups.set(id, group);
    }
  }
  return [...groups].map(([id, { userId, topicId, removed }]) => ({
    userId,
    topicId,
    ...addToLedger(before.get(id) ?? null, removed),
  }));
}
