import { type EventId, firstEventIdAt } from '../event/event.ts';
import type { Month, RemovedMonth } from '../maintenance/ports.ts';
import { type Connection, withConnection } from './connection.ts';
import { alterQuickly } from './migrations/alter-quickly.ts';
import type { Store } from './open-store.ts';

/**
 * The texts are partitioned by the month in their event's id, so that those of a month go in one step. `p_past` has
 * everything before the first month, `p_future` everything after the last one: an insert always has a place.
 */
export const logsTable = 'conversation_logs';

/** Months that are made ahead, the present one included. Texts that are scheduled for later are in `p_future`. */
const monthsAhead = 4;
/** An ALTER gives way to readers for two minutes. */
const alterMs = 150_000;

type Asks = { query(sql: string): Promise<unknown> };
type Partition = { readonly name: string; readonly upTo: string | null; readonly rows: number };

/** Definitions for a table without partitions. */
export function firstMonths(now: Date): string {
  const months = monthsFrom(now, monthsAhead);
  const past = `PARTITION p_past VALUES LESS THAN ('${firstEventIdAt(months[0]?.from ?? now)}')`;
  return [past, ...months.map(definition), 'PARTITION p_future VALUES LESS THAN (MAXVALUE)'].join(', ');
}

export async function hasMonths(asks: Asks): Promise<boolean> {
  return (await partitions(asks)).length > 0;
}

/** Makes the months that `now` needs. @returns those that were missing. */
export function addMonths(store: Store, now: Date): Promise<Month[]> {
  return withConnection(store, alterMs, async (connection) => {
    const there = await partitions(connection);
    // A table that an operator has partitioned in another way, or not at all, is left as it is.
    if (!there.some(({ name }) => name === 'p_future')) return [];
    const last = there.findLast(({ upTo }) => upTo !== null)?.upTo ?? '';
    const missing = monthsFrom(now, monthsAhead).filter(({ to }) => firstEventIdAt(to) > last);
    if (missing.length === 0) return [];
    const parts = [...missing.map(definition), 'PARTITION p_future VALUES LESS THAN (MAXVALUE)'];
    await alterQuickly(connection, `ALTER TABLE ${logsTable} REORGANIZE PARTITION p_future INTO (${parts.join(', ')})`);
    return missing.map(({ name }) => ({ name }));
  });
}

/**
 * Drops the months that end before `before`, except those with the text of an event that is still open.
 * @returns about how many texts each of them had: the server estimates.
 */
export function dropMonths(store: Store, before: EventId): Promise<RemovedMonth[]> {
  return withConnection(store, alterMs, async (connection) => {
    const dropped: RemovedMonth[] = [];
    let from = '';
    for (const { name, upTo, rows } of await partitions(connection)) {
      if (upTo === null || upTo > before) break;
      const isEmpty = await isEmptyPartition(connection, name);
      // The first one stays, as the place for whatever is older.
      if (name !== 'p_past' && (isEmpty || !(await hasOpen(connection, from, upTo)))) {
        await alterQuickly(connection, `ALTER TABLE ${logsTable} DROP PARTITION ${name}`);
        dropped.push({ name, texts: isEmpty ? 0 : rows });
      } else if (!isEmpty && !(await hasOpen(connection, from, upTo))) {
        await alterQuickly(connection, `ALTER TABLE ${logsTable} TRUNCATE PARTITION ${name}`);
        dropped.push({ name, texts: rows });
      }
      from = upTo;
    }
    return dropped;
  });
}

async function isEmptyPartition(connection: Connection, name: string): Promise<boolean> {
  return (await connection.query<unknown[]>(`SELECT 1 FROM ${logsTable} PARTITION (${name}) LIMIT 1`)).length === 0;
}

async function hasOpen(connection: Connection, from: string, to: string): Promise<boolean> {
  const found = await connection.query<unknown[]>(
    `SELECT 1 FROM conversation_events FORCE INDEX (ix_conversation_events_status)
     WHERE status IN ('PENDING', 'PROCESSING') AND event_id >= ? AND event_id < ? LIMIT 1`,
    [from, to],
  );
  return found.length > 0;
}

async function partitions(asks: Asks): Promise<Partition[]> {
  const rows = (await asks.query(
    `SELECT partition_name AS name, partition_description AS up_to, table_rows AS n
     FROM information_schema.partitions WHERE table_schema = DATABASE() AND table_name = '${logsTable}'
     AND partition_name IS NOT NULL ORDER BY partition_ordinal_position`,
  )) as { name: string; up_to: string; n: number }[];
  return rows.map(({ name, up_to, n }) => ({
    name,
    upTo: up_to === 'MAXVALUE' ? null : up_to.replaceAll("'", ''),
    rows: Number(n),
  }));
}

type Span = { readonly name: string; readonly from: Date; readonly to: Date };

function monthsFrom(now: Date, count: number): Span[] {
  return Array.from({ length: count }, (_, i) => {
    const from = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + i, 1));
    const to = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + i + 1, 1));
    return { name: `p_${from.toISOString().slice(0, 7).replace('-', '_')}`, from, to };
  });
}

function definition({ name, to }: Span): string {
  return `PARTITION ${name} VALUES LESS THAN ('${firstEventIdAt(to)}')`;
}
