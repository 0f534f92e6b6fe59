import type { ClosedLine, ClosedNumber, EventView } from '../report/ports.ts';
import { type Statement, withConnection } from './connection.ts';
import { eventColumns, parsed } from './events.ts';
import type { Store } from './open-store.ts';

/** Writes that events are closed; the last statement of a transaction, so that numbers are taken shortly before. */
export function noteClosed(eventIds: readonly string[]): Statement {
  return [
    `INSERT INTO closed_events (event_id, closed_at) VALUES ${eventIds.map(() => '(?,UTC_TIMESTAMP(3))').join(',')}`,
    eventIds,
  ];
}

type LineRow = EventView & { seq: number; age_ms: number; found: string | null };

const age = 'TIMESTAMPDIFF(MICROSECOND, c.closed_at, UTC_TIMESTAMP(3)) / 1000';
const line = `c.seq, ${age} AS age_ms, e.event_id AS found`;

/** Lines after one, in order. */
export async function readClosed(
  store: Store,
  after: number,
  limit: number,
  deadlineMs: number,
): Promise<ClosedLine[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<LineRow[]>(
      `SELECT ${line}, ${eventColumns('e')} FROM closed_events c LEFT JOIN conversation_events e USING (event_id)
       WHERE c.seq > ? ORDER BY c.seq LIMIT ?`,
      [after, limit],
    ),
  );
  return rows.map(toLine);
}

/** The numbers of the newest lines, in order. */
export async function readNewestClosed(store: Store, limit: number, deadlineMs: number): Promise<ClosedNumber[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<Pick<LineRow, 'seq' | 'age_ms'>[]>(
      `SELECT c.seq, ${age} AS age_ms FROM closed_events c WHERE c.seq > 0 ORDER BY c.seq DESC LIMIT ?`,
      [limit],
    ),
  );
  return rows.map(({ seq, age_ms }) => ({ seq: Number(seq), ageMs: Number(age_ms) })).reverse();
}

function toLine({ seq, age_ms, found, ...row }: LineRow): ClosedLine {
  const event = found === null ? null : parsed(row);
  return { seq: Number(seq), ageMs: Number(age_ms), event };
}
