import type { EventId, NewEvent } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { type Connection, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** What became of one event of a batch. The event id is the stored one, also for a replay. */
export type Inserted =
  | { readonly kind: 'new'; readonly eventId: EventId }
  | { readonly kind: 'replay'; readonly eventId: EventId }
  | { readonly kind: 'conflict'; readonly eventId: EventId };

const columns =
  'event_id, conversation_id, user_id, bot_type, bot_id, bot_name, agent_tag, start_time, end_time, ' +
  'conversation_log, metadata, request_digest, status, next_attempt_at, created_at, updated_at';

const row = "(?,?,?,?,?,?,?,?,?,?,?,?,'PENDING',UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND,UTC_TIMESTAMP(3),UTC_TIMESTAMP(3))";

/**
 * Stores a batch as PENDING in one autocommitted statement, due after `graceMs`.
 *
 * A row that the database refuses fails alone: a refused batch is split in halves until the row stands by itself.
 * `ON DUPLICATE KEY UPDATE` to the same value and not `INSERT IGNORE`, which would also ignore data that does not fit.
 */
export async function insertEvents(
  store: Store,
  events: readonly NewEvent[],
  options: { readonly graceMs: number; readonly deadlineMs: number },
): Promise<PromiseSettledResult<Inserted>[]> {
  try {
    const inserted = await withConnection(store, options.deadlineMs, (connection) => insertBatch(connection, events, options.graceMs));
    return inserted.map((value) => ({ status: 'fulfilled', value }));
  } catch (error) {
    const ofTheRow = error instanceof PipelineError && error.kind === 'permanent';
    if (events.length === 1 || !ofTheRow) return events.map(() => ({ status: 'rejected', reason: error }));
    const middle = events.length >> 1;
    return [
      ...(await insertEvents(store, events.slice(0, middle), options)),
      ...(await insertEvents(store, events.slice(middle), options)),
    ];
  }
}

async function insertBatch(connection: Connection, events: readonly NewEvent[], graceMs: number): Promise<Inserted[]> {
  // In the order of the unique key: two batches with the same ids then lock them in the same order.
  const sorted = events.toSorted((a, b) => (a.conversationId < b.conversationId ? -1 : 1));
  const params = sorted.flatMap((e) => [
    e.eventId,
    e.conversationId,
    e.userId,
    e.botType,
    e.botId,
    e.botName,
    e.agentTag,
    e.startTime,
    e.endTime,
    e.logJson,
    e.metadataJson,
    e.digest,
    graceMs * 1_000,
  ]);
  const { info, affectedRows } = await connection.prepared<{ info: string; affectedRows: number }>(
    `INSERT INTO conversation_events (${columns}) VALUES ${sorted.map(() => row).join(',')} ON DUPLICATE KEY UPDATE event_id = conversation_events.event_id`,
    params,
  );
  // "Records: 3  Duplicates: 0  Warnings: 0"; a single row has no such text, and its count tells nothing (FOUND_ROWS).
  if (events.length > 1 && affectedRows === events.length && /Duplicates: 0\b/.test(info)) {
    return events.map((e) => ({ kind: 'new', eventId: e.eventId }));
  }
  return readBack(connection, events);
}

/** Tells new rows from those that were there: ours carry our event id. */
async function readBack(connection: Connection, events: readonly NewEvent[]): Promise<Inserted[]> {
  const rows = await connection.query<{ event_id: EventId; conversation_id: string; request_digest: Buffer }[]>(
    'SELECT event_id, conversation_id, request_digest FROM conversation_events WHERE conversation_id IN (?)',
    [events.map((e) => e.conversationId)],
  );
  const stored = new Map(rows.map((r) => [r.conversation_id, r]));
  return events.map((e) => {
    const found = stored.get(e.conversationId);
    if (!found) throw new PipelineError('transient', 'ROW_VANISHED', 'a row was deleted while it was being accepted');
    if (found.event_id === e.eventId) return { kind: 'new', eventId: e.eventId };
    return { kind: found.request_digest.equals(e.digest) ? 'replay' : 'conflict', eventId: found.event_id };
  });
}
