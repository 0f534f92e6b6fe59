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

/** The statements of one settling transaction, in the order they must be used: events, then users, then the rest. */
export type SettleTransaction = {
  lockEvents(ids: readonly EventId[]): Promise<readonly LockedEvent[]>;
  /** Creates missing users, locks all of them in one order, and reads them. */
  lockFriendships(userIds: readonly string[]): Promise<readonly Friendship[]>;
  /** No lock of their own: a topic row belongs to a user, whose lock is held. */
  readTopics(keys: readonly { readonly userId: string; readonly topicId: string }[]): Promise<readonly TopicMetrics[]>;
  writeFriendships(rows: readonly Friendship[]): Promise<void>;
  writeTopics(rows: readonly TopicMetrics[]): Promise<void>;
  writeEvents(writes: readonly EventWrite[]): Promise<void>;
};
