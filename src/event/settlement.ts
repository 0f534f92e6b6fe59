import type { EventId, EventStatus } from './event.ts';
import type { Friendship, FriendshipLevel, TopicMetrics } from './friendship.ts';

/** An event row under lock, as far as settling needs it. */
export type LockedEvent = {
  readonly eventId: EventId;
  readonly status: EventStatus;
  readonly attemptCount: number;
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
  | {
      readonly kind: 'failed';
      readonly eventId: EventId;
      readonly attemptCount: number;
      readonly code: string;
      readonly details: string;
    };

export type TopicKey = { readonly userId: string; readonly topicId: string };

/** What is held of users. Topics have no lock of their own: a topic row belongs to a user, whose lock is held. */
export type Held = { readonly friendships: readonly Friendship[]; readonly topics: readonly TopicMetrics[] };

/** The steps of one settling transaction, in the order they must be used. */
export type SettleTransaction = {
  /**
   * Locks the events, then these users, each in the order of their ids, and reads them and the topics. Events and users
   * that do not exist are missing from the answer.
   */
  lock(
    ids: readonly EventId[],
    of: { readonly userIds: readonly string[]; readonly topics: readonly TopicKey[] },
  ): Promise<Held & { readonly events: readonly LockedEvent[] }>;
  /** Creates users that are missing, locks and reads them. */
  lockUsers(userIds: readonly string[], topics: readonly TopicKey[]): Promise<Held>;
  /** Notes what is to be written; it goes to the database with the commit. */
  write(changes: {
    readonly friendships: readonly Friendship[];
    readonly topics: readonly TopicMetrics[];
    readonly events: readonly EventWrite[];
  }): void;
};
