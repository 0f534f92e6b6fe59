import { type ConversationText, conversationText } from '../event/conversation.ts';
import { type EventId, type EventRef, type EventStatus, isOpen } from '../event/event.ts';
import type { LoadedEvent } from '../event/outcome.ts';
import { type Connection, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** What a conversation is put together from. */
export type ConversationRow = {
  event_id: EventId;
  conversation_id: string;
  user_id: string;
  bot_type: string;
  bot_id: string;
  bot_name: string;
  agent_tag: string | null;
  start_time: Date;
  end_time: Date;
  /** Null: there is none, or it was not read. */
  conversation_log: Buffer | null;
  metadata: Buffer | null;
};

type Row = ConversationRow & {
  status: EventStatus;
  attempt_count: number;
  suspect_starts: number;
  has_log: 0 | 1;
};

/**
 * Of the tables `e` and `l`, without `event_id`. The text as bytes, because it is not parsed here. CONVERT rather than
 * CAST, which returns NULL for values larger than `max_allowed_packet`.
 */
export const conversationColumns = `e.conversation_id, e.user_id, e.bot_type, e.bot_id, e.bot_name, e.agent_tag,
  e.start_time, e.end_time,
  CONVERT(l.conversation_log USING binary) AS conversation_log, CONVERT(l.metadata USING binary) AS metadata`;

/** With the text only of open events. */
const select = `SELECT e.event_id, ${conversationColumns}, e.status,
    e.attempt_count, e.suspect_starts, l.event_id IS NOT NULL AS has_log
  FROM conversation_events e LEFT JOIN conversation_logs l ON l.event_id = e.event_id
  AND e.status IN ('PENDING', 'PROCESSING')`;

/**
 * Reads events with their logs, with one statement for all that are named by event id.
 *
 * Each read is a transaction in one packet: a proxy that sends reads to replicas keeps transactions on the primary. A
 * lagging replica might lack an event, or have an old attempt count.
 *
 * @returns the events in the order of `refs`, null where there is none.
 */
export function loadEvents(
  store: Store,
  refs: readonly EventRef[],
  deadlineMs: number,
): Promise<(LoadedEvent | null)[]> {
  return withConnection(store, deadlineMs, async (connection) => {
    const ids = refs.flatMap((ref) => ('eventId' in ref ? [ref.eventId] : []));
    const conversations = refs.flatMap((ref) => ('conversationId' in ref ? [ref.conversationId] : []));
    const byId = new Map((await read(connection, 'e.event_id', ids)).map((row) => [row.event_id, row]));
    const byConversation = new Map(
      (await read(connection, 'e.conversation_id', conversations)).map((row) => [row.conversation_id, row]),
    );
    return refs.map((ref) => {
      const row = 'eventId' in ref ? byId.get(ref.eventId) : byConversation.get(ref.conversationId);
      return row === undefined ? null : toLoaded(row);
    });
  });
}

async function read(
  connection: Connection,
  column: 'e.event_id' | 'e.conversation_id',
  values: readonly string[],
): Promise<Row[]> {
  if (values.length === 0) return [];
  const [, rows] = await connection.batch([
    ['START TRANSACTION'],
    [`${select} WHERE ${column} IN (?)`, [values]],
    ['COMMIT'],
  ]);
  return rows as Row[];
}

function toLoaded(row: Row): LoadedEvent {
  const isReadable = isOpen(row.status) && row.has_log === 1;
  return {
    eventId: row.event_id,
    status: row.status,
    attemptCount: row.attempt_count,
    unfinishedStarts: row.suspect_starts,
    owner: { userId: row.user_id, topicId: row.agent_tag, endTime: row.end_time },
    text: isReadable ? textOf(row) : null,
  };
}

/** What a scorer gets; null without a log. */
export function textOf(row: ConversationRow): ConversationText | null {
  if (row.conversation_log === null) return null;
  const head = {
    conversation_id: row.conversation_id,
    user_id: row.user_id,
    bot_type: row.bot_type,
    bot_id: row.bot_id,
    bot_name: row.bot_name,
    agent_tag: row.agent_tag,
    start_time: row.start_time.toISOString(),
    end_time: row.end_time.toISOString(),
  };
  return conversationText(head, row.metadata, row.conversation_log);
}
