import type { EventId, EventStatus } from './event.ts';
import type { Friendship, FriendshipLevel, TopicMetrics } from './friendship.ts';

/** An event row under lock, as far as settling needs it. */
export type LockedEvent = {
  readonly eventId: EventId;
  readonly status: EventStatus;
  readonly attemptCount: number;
  readonly userId: string;
  readonly agentTag: string | null;
  readonly endTime: Date;
};

/** The new state of one event. Exactly one write per locked open event. */
export type EventWrite =
  | {
      readonly kind: 'processed';
      readonly eventId: EventId;
      readonly change: number;
      readonly level: FriendshipLevel;
      readonly detailsJson: string;
    }
  | {
      readonly kind: 'retry';
      readonly eventId: EventId;
      readonly attemptCount: number;
      readonly delayMs: number;
      readonly code: string;
      readonly details: string;
    }
  | { readonly kind: 'failed'; readonly eventId: EventId; readonly attemptCount: number; readonly code: string; readonly details: string };

export type TopicKey = { readonly userId: string; readonly topicId: string };

/** The steps of one settling transaction, in the order they must be used: events, then users, then what is written. */
export type SettleTransaction = {
  lockEvents(ids: readonly EventId[]): Promise<readonly LockedEvent[]>;
  /**
   * Creates missing users, locks all of them in one order, and reads them and their topics. Topics have no lock of their own: a topic row
   * belongs to a user, whose lock is held.
   */
  lockFriendships(
    userIds: readonly string[],
    topics: readonly TopicKey[],
  ): Promise<{ readonly friendships: readonly Friendship[]; readonly topics: readonly TopicMetrics[] }>;
  /** Notes what is to be written; it goes to the database with the commit. */
  write(changes: {
    readonly friendships: readonly Friendship[];
    readonly topics: readonly TopicMetrics[];
    readonly events: readonly EventWrite[];
  }): void;
};
