import type { Stored } from '../accept/ports.ts';
import type { EventId, NewEvent } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { type Connection, type Statement, withConnection } from './connection.ts';
import { isConnectionLost, isDuplicate } from './errors.ts';
import type { Store } from './open-store.ts';

const columns =
  'event_id, conversation_id, user_id, bot_type, bot_id, bot_name, agent_tag, start_time, end_time, request_digest, ' +
  'traceparent, lane, status, next_attempt_at, created_at, updated_at';

const row =
  "(?,?,?,?,?,?,?,?,?,?,?,?,'PENDING',UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND,UTC_TIMESTAMP(3),UTC_TIMESTAMP(3))";

/**
 * Stores a batch as PENDING, due after `graceMs`: events and logs in one transaction.
 *
 * A row that the database refuses fails alone: a refused batch is halved until that row is on its own.
 */
export async function insertEvents(
  store: Store,
  events: readonly NewEvent[],
  options: { readonly graceMs: number; readonly deadlineMs: number },
): Promise<PromiseSettledResult<Stored>[]> {
  const began = performance.now();
  const insert = () =>
    insertBatch(store, events, { ...options, deadlineMs: options.deadlineMs - (performance.now() - began) });
  try {
    const inserted = await insert().catch((error: unknown) => {
      if (mayRepeat(error)) return insert();
      throw error;
    });
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

/**
 * Whether a batch may be retried at once. After a deadlock the winner is already through, and an idle connection may
 * have been closed just as it was used. Rows that the first try stored after all count as stored by the second.
 */
function mayRepeat(error: unknown): boolean {
  return error instanceof PipelineError && (error.code === 'DATABASE_DEADLOCK' || isConnectionLost(error));
}

function insertBatch(
  store: Store,
  events: readonly NewEvent[],
  { graceMs, deadlineMs }: { readonly graceMs: number; readonly deadlineMs: number },
): Promise<Stored[]> {
  // Sorted by the unique key, so that two batches with the same ids lock them in the same order.
  const sorted = events.toSorted((a, b) => (a.conversationId < b.conversationId ? -1 : 1));
  const insert = async (connection: Connection) => {
    try {
      await insertNew(connection, sorted, graceMs);
      return events.map(asNew);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      // Some conversations were accepted before. Keep the connection: a repeated request should not cost us one.
      const kinds = await insertMissing(connection, sorted, graceMs);
      return events.map((event) => kinds.get(event) as Stored);
    }
  };
  return withConnection(store, deadlineMs, insert, 'accepts');
}

/**
 * Two round trips on a connection without autocommit. The first stores the logs as a prepared statement, so that they
 * are neither parsed nor escaped; the second stores the events and commits. If a conversation already exists, the
 * server stops with an error before the COMMIT, so no log is ever stored without its event.
 */
async function insertNew(connection: Connection, events: readonly NewEvent[], graceMs: number): Promise<void> {
  await connection.prepared(...logsOf(events));
  await connection.batch([
    [`INSERT INTO conversation_events (${columns}) VALUES ${rows(events)}`, values(events, graceMs)],
    ['COMMIT'],
  ]);
}

/**
 * Two round trips as well. The first rolls back and stores the events that are new; the second stores their logs and
 * commits, so existing rows stay locked for one round trip only. `ON DUPLICATE KEY UPDATE` to the same value, because
 * `INSERT IGNORE` would also accept data that does not fit.
 */
async function insertMissing(
  connection: Connection,
  events: readonly NewEvent[],
  graceMs: number,
): Promise<Map<NewEvent, Stored>> {
  const [, , found] = await connection.batch([
    ['ROLLBACK'],
    [
      `INSERT INTO conversation_events (${columns}) VALUES ${rows(events)}
        ON DUPLICATE KEY UPDATE event_id = conversation_events.event_id`,
      values(events, graceMs),
    ],
    [
      'SELECT event_id, conversation_id, request_digest FROM conversation_events WHERE conversation_id IN (?)',
      [events.map((e) => e.conversationId)],
    ],
  ]);
  const stored = new Map((found as StoredRow[]).map((r) => [r.conversation_id, r]));
  const inserted = new Map(events.map((event) => [event, judge(event, stored.get(event.conversationId))]));
  const fresh = events.filter((event) => inserted.get(event)?.kind === 'new');
  await connection.batch([
    ...(fresh.length > 0 ? [logsOf(fresh, 'ON DUPLICATE KEY UPDATE event_id = conversation_logs.event_id')] : []),
    ['COMMIT'],
  ]);
  return inserted;
}

type StoredRow = { readonly event_id: EventId; readonly conversation_id: string; readonly request_digest: Buffer };

/** A row that this batch stored has the event id of the batch. */
function judge(event: NewEvent, stored: StoredRow | undefined): Stored {
  if (stored === undefined)
    throw new PipelineError('transient', 'ROW_VANISHED', 'a row was deleted while it was being accepted');
  if (stored.event_id === event.eventId) return asNew(event);
  return { kind: stored.request_digest.equals(event.digest) ? 'replay' : 'conflict', eventId: stored.event_id };
}

function asNew({ eventId }: NewEvent): Stored {
  return { kind: 'new', eventId };
}

function logsOf(events: readonly NewEvent[], orElse = ''): Statement {
  return [
    `INSERT INTO conversation_logs (event_id, conversation_log, metadata)
      VALUES ${events.map(() => '(?,?,?)').join(',')} ${orElse}`,
    events.flatMap((e) => [e.eventId, e.logJson, e.metadataJson]),
  ];
}

function rows(events: readonly NewEvent[]): string {
  return events.map(() => row).join(',');
}

function values(events: readonly NewEvent[], graceMs: number): unknown[] {
  return events.flatMap((e) => [
    e.eventId,
    e.conversationId,
    e.userId,
    e.botType,
    e.botId,
    e.botName,
    e.topicId,
    e.startTime,
    e.endTime,
    e.digest,
    e.traceparent,
    e.lane,
    1_000 * (e.processAfter === null ? graceMs : Math.max(0, e.processAfter.getTime() - Date.now())),
  ]);
}
