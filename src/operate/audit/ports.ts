import type { EventId, EventStatus } from '../../event/event.ts';
import type { FriendshipLevel } from '../../event/friendship.ts';
import type { LedgerLine } from '../../event/ledger.ts';

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
/** What removed events of a user came to; a null `topicId` stands for all of them. */
export type Removed = LedgerLine & { readonly userId: string; readonly topicId: string | null };
/** Some users, all read at the same moment of the database. */
export type UserPage = {
  /** Only of users with a negative change, in the ledger or not: scores stop at zero, so that the order matters. */
  readonly changes: readonly Change[];
  readonly sums: readonly TopicSum[];
  readonly ledger: readonly Removed[];
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
