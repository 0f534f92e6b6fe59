import type { EventId, EventPointer } from '../event/event.ts';
import type { Message } from '../event/message.ts';

/**
 * One publication of an event, as the row had it then. Its confirm says something about the row only while the row
 * still has both: an attempt that failed since has raised the count, and everybody else who wants the event published
 * again has set another due time.
 */
export type Publication = {
  readonly eventId: EventId;
  /** When relays may take the event, as written last for this publication. Null: as inserted, a grace after it. */
  readonly dueAt: Date | null;
  /** Attempts that had failed. */
  readonly attemptCount: number;
};

/** `maybeQueued`: it was published before, not long ago, and is probably in the queue or being processed. */
export type ClaimedEvent = EventPointer & { readonly attemptCount: number; readonly maybeQueued: boolean };
/** Events that are ours to publish: no other relay takes them until `dueAt`. */
export type Claim = { readonly events: readonly ClaimedEvent[]; readonly dueAt: Date };

/** Claims events that are due, at most `limit`. */
export type ClaimDue = (limit: number) => Promise<Claim>;
/** Notes that the broker has these publications: relays leave them alone until they should have been settled. */
export type StoreMarks = (publications: readonly Publication[]) => Promise<void>;
/** Keeps relays off events for another grace. Resolves with the due time that these publications have now. */
export type ExtendDue = (publications: readonly Publication[]) => Promise<Date>;
/** Leaves claimed events alone for as long as after a confirm. */
export type Postpone = (publications: readonly Publication[]) => Promise<void>;
/** Makes events due that were published long ago and that no worker holds; at most `limit`. Resolves with how many. */
export type MakeLostDue = (limit: number) => Promise<number>;

/** Resolves when the broker has the message; rejects (transient) at once when it cannot take it. */
export type PublishMessage = (message: Message) => Promise<void>;

/** `messages`: those that wait in the queue, not those that were delivered. */
export type QueueCounts = { readonly messages: number; readonly consumers: number };
/** What the broker says of the queue; null if it cannot be asked now. */
export type CountQueue = () => Promise<QueueCounts | null>;
