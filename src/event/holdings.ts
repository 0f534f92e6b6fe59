import type { EventId, EventStatus } from './event.ts';
import type { FriendshipLevel } from './friendship.ts';

// What an audit reads and judges. Scores are whole ten-thousandths of a point, the precision of the columns, so that
// sums are exact.

/** What a user's processed events add up to on one topic; `topicId` null: events without one. */
export type TopicSum = {
  readonly userId: string;
  readonly topicId: string | null;
  readonly events: number;
  /** Of these, rows that lack their result. */
  readonly withoutResult: number;
  readonly change: number;
  readonly hasNegative: boolean;
  /**
   * Sum of `total_turns` of the details; null if another scorer than ours made one of them, whose details say what they
   * like.
   */
  readonly turns: number | null;
  readonly lastEnd: Date;
};
export type HeldFriendship = {
  readonly userId: string;
  readonly score: number;
  readonly level: FriendshipLevel;
  readonly lastInteraction: Date | null;
};
export type HeldTopic = {
  readonly userId: string;
  readonly topicId: string;
  readonly score: number;
  readonly turns: number;
  readonly lastDate: Date;
};
/** A change of one event, in the order of commits. */
export type Change = {
  readonly userId: string;
  readonly topicId: string | null;
  readonly change: number;
  readonly processedAt: Date;
};
/** Some users as one moment of the database has them. */
export type UserPage = {
  /** Of users with a negative change: the floor makes the order matter. */
  readonly changes: readonly Change[];
  readonly sums: readonly TopicSum[];
  readonly friendships: readonly HeldFriendship[];
  readonly topics: readonly HeldTopic[];
};

/** Users after `after` (and up to `upTo`) in the order of their ids, or those named. */
export type Users = { readonly after: string; readonly upTo: string | null } | { readonly named: readonly string[] };

export type OddEvent = { readonly eventId: EventId; readonly status: EventStatus; readonly nextAttemptAt: Date | null };
