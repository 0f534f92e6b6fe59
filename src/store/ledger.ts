import type { LedgerLine } from '../event/ledger.ts';
import type { Connection } from './connection.ts';

/** `topicId` null: the whole user. */
export type LedgerRow = LedgerLine & { readonly userId: string; readonly topicId: string | null };

/** A topic has at least one letter (accept/request.ts), so that this is none. */
const wholeUser = '';

const columns = 'user_id, topic_id, events, change_sum, gain_sum, score, in_order, turns, last_end, last_processed_at';

/** @param where  a condition on `user_id`. */
export async function readLedger(
  connection: Connection,
  where: string,
  params: readonly unknown[],
  lock: '' | 'FOR UPDATE' = '',
): Promise<LedgerRow[]> {
  const rows = await connection.query<Record<string, unknown>[]>(
    `SELECT ${columns} FROM friendship_ledger FORCE INDEX (PRIMARY) WHERE ${where} ORDER BY user_id, topic_id ${lock}`,
    params,
  );
  return rows.map((row) => ({
    userId: String(row['user_id']),
    topicId: row['topic_id'] === wholeUser ? null : String(row['topic_id']),
    events: Number(row['events']),
    change: Number(row['change_sum']),
    gains: Number(row['gain_sum']),
    score: Number(row['score']),
    inOrder: Number(row['in_order']) === 1,
    turns: row['turns'] === null ? null : Number(row['turns']),
    lastEnd: row['last_end'] as Date,
    lastProcessedAt: row['last_processed_at'] as Date,
  }));
}

/** Writes lines in the place of those that were there. */
export async function writeLedger(connection: Connection, rows: readonly LedgerRow[]): Promise<void> {
  if (rows.length === 0) return;
  await connection.query(
    `REPLACE INTO friendship_ledger (${columns}) VALUES ${rows.map(() => '(?,?,?,?,?,?,?,?,?,?)').join(',')}`,
    rows.flatMap((row) => [
      ...[row.userId, row.topicId ?? wholeUser, row.events, row.change, row.gains, row.score, Number(row.inOrder)],
      ...[row.turns, row.lastEnd, row.lastProcessedAt],
    ]),
  );
}
