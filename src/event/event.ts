import { randomUUID } from 'node:crypto';

/** The fact a client submitted. The id is made by the API (UUIDv7) and is the event's for life. */
export type EventId = string & { readonly __brand: 'EventId' };

/**
 * `PENDING` and `PROCESSING` are open: they always have a `next_attempt_at`. The others are closed and never have one.
 */
export const eventStatuses = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'SKIPPED'] as const;
export type EventStatus = (typeof eventStatuses)[number];

export function isOpen(status: EventStatus): boolean {
  return status === 'PENDING' || status === 'PROCESSING';
}

/** A validated, normalised request on its way into the tables. */
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

/** What a message says of an event: ids only. */
export type EventPointer = Pick<NewEvent, 'eventId' | 'conversationId' | 'userId' | 'botId'>;

/** How an event is named: publishers other than ours know the conversation only. */
export type EventRef = { readonly eventId: EventId } | { readonly conversationId: string };

/**
 * UUIDv7 (RFC 9562): the time in milliseconds, then the random bits of a version 4, of which Node keeps a store. Ids of
 * one millisecond have no order among themselves.
 */
export function newEventId(): EventId {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` as EventId;
}

/** The least id of a moment: whoever is at least that was accepted then or later, as far as the APIs' clocks agree. */
export function firstEventIdAt(time: Date): EventId {
  const digits = Math.max(0, time.getTime()).toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000` as EventId;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @returns the id, or null if the value is not a lower-case UUID. */
export function parseEventId(value: unknown): EventId | null {
  return typeof value === 'string' && uuid.test(value) ? (value as EventId) : null;
}
