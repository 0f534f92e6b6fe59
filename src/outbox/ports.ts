import type { EventId, EventPointer } from '../event/event.ts';
import type { Lane } from '../event/lane.ts';
import type { Message } from '../event/message.ts';

/**
 * One publication of an event, with the due time and count that its row had at the time. The confirm applies only while
 * the row still has both: an attempt that failed since has raised the count, and anything else that wants the event
 * published again has set another due time.
 */
export type Publication = {
  readonly eventId: EventId;
  /** When relays may take the event, as last written for this publication; null: one grace period after its insert. */
  readonly dueAt: Date | null;
  /** Number of attempts that had failed. */
  readonly attemptCount: number;
};

/** An event to be published. `traceparent`: as in its row; the message gets one of its own. */
export type ToPublish = EventPointer & { readonly traceparent: string | null; readonly lane: Lane };

/** `maybeQueued`: it was published not long ago, and is probably in the queue or being processed. */
export type ClaimedEvent = ToPublish & { readonly attemptCount: number; readonly maybeQueued: boolean };
/** Events that this relay is to publish. No other relay takes them until `dueAt`. */
export type Claim = { readonly events: readonly ClaimedEvent[]; readonly dueAt: Date };

/** What became of publications whose due time was to be moved. The rest was written by another process since. */
export type Moved = {
  /** The new due time of those in `moved`. */
  readonly dueAt: Date;
  readonly moved: ReadonlySet<EventId>;
  /** Unchanged, but another transaction held the row: may be tried again. */
  readonly held: ReadonlySet<EventId>;
};

/** Claims up to `limit` due events. */
export type ClaimDue = (limit: number) => Promise<Claim>;
/** Records that the broker has these publications, so that relays leave them alone while they should be settled. */
export type StoreMarks = (publications: readonly Publication[]) => Promise<Moved>;
/** Keeps relays from taking events for another grace period. */
export type ExtendDue = (publications: readonly Publication[]) => Promise<Moved>;
/** Makes claimed events due as late as a confirm would. */
export type Postpone = (publications: readonly Publication[]) => Promise<void>;
/** Makes up to `limit` events due that were published long ago and that no worker holds. Resolves with how many. */
export type MakeLostDue = (limit: number) => Promise<number>;

/** Resolves when the broker has the message; rejects (transient) at once when it cannot take it. */
export type PublishMessage = (message: Message, lane: Lane) => Promise<void>;

/** `messages`: those that are ready in the queue, without those that were delivered and not yet acknowledged. */
export type QueueCounts = { readonly messages: number; readonly consumers: number };
/** The broker's counts for the queues of all lanes together; null if it cannot be asked now. */
export type CountQueues = () => Promise<QueueCounts | null>;
