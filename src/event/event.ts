import { randomUUID } from 'node:crypto';
import type { Lane } from './lane.ts';

/**
 * Identifies one accepted conversation. The API makes the id (UUIDv7), and it never changes. Its time is when the event
 * is to be scored first: when it was accepted, or a later time that the caller asked for. So whatever looks for the
 * oldest event, or for all up to now, never meets those that are scheduled, however many there are.
 */
export type EventId = string & { readonly __brand: 'EventId' };

/**
 * `PENDING` and `PROCESSING` are open and always have a `next_attempt_at`. The others are closed and never have one.
 */
export const eventStatuses = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'SKIPPED'] as const;
export type EventStatus = (typeof eventStatuses)[number];

export function isOpen(status: EventStatus): boolean {
  return status === 'PENDING' || status === 'PROCESSING';
}

/** A validated, normalised request that is about to be stored. */
export type NewEvent = {
  readonly eventId: EventId;
  readonly conversationId: string;
  readonly userId: string;
  readonly botType: string;
  readonly botId: string;
  readonly botName: string;
  readonly topicId: string | null;
  readonly startTime: Date;
  readonly endTime: Date;
  /** JSON text of `Turn[]`. */
  readonly logJson: string;
  /** JSON text of an object. */
  readonly metadataJson: string | null;
  /** SHA-256 of the normalised request: the same conversation id with another digest is a conflict. */
  readonly digest: Buffer;
  /** Of the request that it came with (W3C Trace Context); null without traces. */
  readonly traceparent: string | null;
  readonly lane: Lane;
  /** Not to be scored before; null: at once. */
  readonly processAfter: Date | null;
};

/** What a message says about an event: only ids. */
export type EventPointer = Pick<NewEvent, 'eventId' | 'conversationId' | 'userId' | 'botId'>;

/** How a message refers to an event: publishers other than ours know only the conversation. */
export type EventRef = { readonly eventId: EventId } | { readonly conversationId: string };

/**
 * Makes a UUIDv7 (RFC 9562): the time in milliseconds, then the random bits of a version 4, which Node precomputes. Ids
 * from the same millisecond have no order.
 * @param at  milliseconds since the epoch.
 */
export function newEventId(at = Date.now()): EventId {
  const time = at.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` as EventId;
}

/** The smallest id of a moment. Ids from it upward were made then or later, as far as the APIs' clocks agree. */
export function firstEventIdAt(time: Date): EventId {
  const digits = Math.max(0, time.getTime()).toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000` as EventId;
}

/** The time of an id, by its API's clock: milliseconds since the epoch. Null for ids that are not UUIDv7. */
export function timeOfEventId(id: EventId): number | null {
  return id[14] === '7' ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @returns the id, or null if the value is not a lower-case UUID. */
export function parseEventId(value: unknown): EventId | null {
  return typeof value === 'string' && uuid.test(value) ? (value as EventId) : null;
}
