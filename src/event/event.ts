import { randomUUID } from 'node:crypto';

/** The fact a client submitted. The id is made by the API (UUIDv7) and is the event's for life. */
export type EventId = string & { readonly __brand: 'EventId' };

/** `PENDING` and `PROCESSING` are open: they always have a `next_attempt_at`. The others are closed and never have one. */
export const eventStatuses = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'SKIPPED'] as const;
export type EventStatus = (typeof eventStatuses)[number];

export function isOpen(status: EventStatus): boolean {
  return status === 'PENDING' || status === 'PROCESSING';
}

/** One kept item of a conversation in its normalised form. This shape is stored, sent and scored. */
export type Turn = {
  readonly speaker: 'pika' | 'user';
  /** Numbers the kept items from 1. */
  readonly turn_id: number;
  readonly text: string;
  /** ISO 8601, UTC, milliseconds, `Z`. */
  readonly timestamp: string;
};

/** What scoring gets: the message body of the broker contract. */
export type Conversation = {
  readonly conversation_id: string;
  readonly user_id: string;
  readonly bot_type: string;
  readonly bot_id: string;
  readonly bot_name: string;
  readonly agent_tag: string | null;
  readonly start_time: string;
  readonly end_time: string;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  readonly conversation_log: readonly Turn[];
};

/** A validated, normalised request on its way into the table. The JSON texts are made once and used for row and message. */
export type NewEvent = {
  readonly eventId: EventId;
  readonly conversationId: string;
  readonly userId: string;
  readonly botType: string;
  readonly botId: string;
  readonly botName: string;
  readonly agentTag: string | null;
  readonly startTime: Date;
  readonly endTime: Date;
  /** JSON text of `Turn[]`. */
  readonly logJson: string;
  /** JSON text of an object. */
  readonly metadataJson: string | null;
  /** SHA-256 of the normalised request: same id with another digest is a conflict. */
  readonly digest: Buffer;
};

/** Log and metadata above this many bytes together stay out of the message; the worker reads them from the database. */
export const maxInlineBytes = 64 * 1_024;

/** An open event as the outbox publishes it. A log that is too large for a message may be missing. */
export type OutboxEvent = Omit<NewEvent, 'digest' | 'logJson'> & { readonly logJson: string | null };

/** How an event is named by a message: older publishers know the conversation only. */
export type EventRef = { readonly eventId: EventId } | { readonly conversationId: string };

/**
 * UUIDv7 (RFC 9562): the time in milliseconds, then the random bits of a version 4, of which Node keeps a store. Ids of one millisecond
 * have no order among themselves.
 */
export function newEventId(): EventId {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` as EventId;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @returns the id, or null if the value is not a lower-case UUID. */
export function parseEventId(value: unknown): EventId | null {
  return typeof value === 'string' && uuid.test(value) ? (value as EventId) : null;
}
