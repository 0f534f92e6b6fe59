import { type EventId, type EventPointer, type EventRef, parseEventId } from './event.ts';

/**
 * Version of the message format, which only this file knows. A message is a pointer: the row is authoritative, and the
 * conversation's text is only in the database.
 *
 * Version 2: `{event_id, conversation_id, user_id, bot_id}`, and the event's id as AMQP `message_id`. Version 1 carried
 * the log as well. Other publishers send only a `conversation_id`. All of these are read; everything in a body except
 * `event_id` and `conversation_id` is ignored.
 */
const messageVersion = 2;

export type Message = {
  readonly messageId: string;
  readonly type: string;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, number | string>>;
  readonly body: Buffer;
};

const properties = {
  type: 'conversation.ended',
  contentType: 'application/json',
  headers: { version: messageVersion },
} as const;

/**
 * @param headers  to be added to the message's own.
 * @returns a few hundred bytes, as ids have at most 255 characters.
 */
export function encodeMessage(
  { eventId, conversationId, userId, botId }: EventPointer,
  headers: Readonly<Record<string, string>> = {},
): Message {
  const body = Buffer.from(
    JSON.stringify({ event_id: eventId, conversation_id: conversationId, user_id: userId, bot_id: botId }),
  );
  return { ...properties, headers: { ...headers, ...properties.headers }, messageId: eventId, body };
}

/**
 * The ways in which a message refers to its event, best first: the message id, which is the event's id if we published
 * it, then the ids in the body. The body is parsed only if the first is not enough.
 */
export function* refsOf({
  messageId,
  body,
}: {
  readonly messageId: string | undefined;
  readonly body: Buffer;
}): Generator<EventRef, void> {
  const byId = refOfId(messageId);
  if (byId !== null) yield byId;
  const byBody = refOfBody(body);
  if (byBody !== null && !('eventId' in byBody && byBody.eventId === byId?.eventId)) yield byBody;
}

/** The event that a message id refers to; null if it is not one of our ids. */
export function refOfId(messageId: string | undefined): { readonly eventId: EventId } | null {
  const eventId = parseEventId(messageId);
  return eventId && { eventId };
}

/** UTF-16 code units that 255 characters, the limit of the column, can take. */
const longestId = 2 * 255;

function refOfBody(body: Buffer): EventRef | null {
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return null;
  }
  const { event_id, conversation_id } = (value ?? {}) as {
    readonly event_id?: unknown;
    readonly conversation_id?: unknown;
  };
  const eventId = parseEventId(event_id);
  if (eventId !== null) return { eventId };
  return typeof conversation_id === 'string' && conversation_id.length <= longestId
    ? { conversationId: conversation_id }
    : null;
}
