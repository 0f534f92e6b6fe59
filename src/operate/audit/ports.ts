import type { EventId, EventStatus } from '../../event/event.ts';
import type { FriendshipLevel } from '../../event/friendship.ts';

// What an audit reads and checks. Scores are whole ten-thousandths of a point, the precision of the columns, so that
// sums are exact.

/** The sum of a user's processed events on one topic; a null `topicId` stands for events without a topic. */
type TopicSum = {
  readonly userId: string;
  readonly topicId: string | null;
  readonly events: number;
  /** How many of these have no result in their row. */
  readonly withoutResult: number;
  readonly change: number;
  readonly hasNegative: boolean;
  /**
   * Sum of `total_turns` from the details; null if a custom scorer scored any of the events, because its details may
   * contain anything.
   */
  readonly turns: number | null;
  readonly lastEnd: Date;
};
type HeldFriendship = {
  readonly userId: string;
  readonly score: number;
  readonly level: FriendshipLevel;
  readonly lastInteraction: Date | null;
};
type HeldTopic = {
  readonly userId: string;
  readonly topicId: string;
  readonly score: number;
  readonly turns: number;
  readonly lastDate: Date;
};
/** The score change of one event, in the order of commits. */
export type Change = {
  readonly userId: string;
  readonly topicId: string | null;
  readonly change: number;
  readonly processedAt: Date;
};
/** Some users, all read at the same moment of the database. */
export type UserPage = {
  /** Only of users with a negative change: because scores stop at zero, the order matters for them. */
  readonly changes: readonly Change[];
  readonly sums: readonly TopicSum[];
  readonly friendships: readonly HeldFriendship[];
  readonly topics: readonly HeldTopic[];
};

/** Users after `after` (and up to `upTo`) in the order of their ids, or a list of ids. */
export type Users = { readonly after: string; readonly upTo: string | null } | { readonly named: readonly string[] };

export type OddEvent = { readonly eventId: EventId; readonly status: EventStatus; readonly nextAttemptAt: Date | null };

type Said = { readonly byUser: boolean; readonly text: string };

/** A live session, with what its messages and its event really are. */
export type SessionFacts = {
  readonly sessionId: string;
  readonly messages: number;
  readonly questions: number;
  readonly countedMessages: number;
  readonly countedQuestions: number;
  /** Null: it has not ended. */
  readonly eventId: EventId | null;
  /**
   * Who said what, in order: of the session, and of its event; null if it has no event, or that has no text any more.
   */
  readonly said: readonly Said[];
  readonly scored: readonly Said[] | null;
};
