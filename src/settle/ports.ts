import type { EventId, EventStatus } from '../event/event.ts';
import type { Friendship, FriendshipLevel, TopicMetrics } from '../event/friendship.ts';
import type { LedgerLine } from '../event/ledger.ts';

/** The fields of a locked event row that settling needs. */
export type LockedEvent = {
  readonly eventId: EventId;
  readonly status: EventStatus;
  readonly attemptCount: number;
};

/** The new state of an event whose attempt failed. */
export type UnsuccessfulWrite =
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

/** The new state of an event whose score counts. */
export type ProcessedWrite = {
  readonly kind: 'processed';
  readonly eventId: EventId;
  readonly change: number;
  readonly level: FriendshipLevel;
  readonly levelBefore: FriendshipLevel;
  readonly detailsJson: string;
};

/** The new state of one event. Exactly one write per locked open event. */
export type EventWrite = ProcessedWrite | UnsuccessfulWrite;

export type TopicKey = { readonly userId: string; readonly topicId: string };

/** Locked rows of users. Topics have no lock of their own: a topic row belongs to a user, whose lock is held. */
export type Held = { readonly friendships: readonly Friendship[]; readonly topics: readonly TopicMetrics[] };

/** The steps of one settling transaction, in the order in which they must be called. */
export type SettleTransaction = {
  /**
   * Locks the events and then the users, both in the order of their ids, and reads them and the topics. Events and
   * users that do not exist are missing from the result.
   */
  lock(
    ids: readonly EventId[],
    of: { readonly userIds: readonly string[]; readonly topics: readonly TopicKey[] },
  ): Promise<Held & { readonly events: readonly LockedEvent[] }>;
  /** Creates missing users, then locks and reads them and their topics. */
  lockUsers(userIds: readonly string[], topics: readonly TopicKey[]): Promise<Held>;
  /** Records what to write; it is sent to the database with the commit. */
  write(changes: {
    readonly friendships: readonly Friendship[];
    readonly topics: readonly TopicMetrics[];
    readonly events: readonly EventWrite[];
  }): void;
};

/**
 * Runs `work` in one database transaction; commits when it resolves.
 *
 * @param locks  `nowait`: fails at once (`DATABASE_LOCKED`) if another transaction has locked an event or a user.
 */
export type InSettleTransaction = <T>(
  work: (tx: SettleTransaction) => Promise<T>,
  locks: 'wait' | 'nowait',
) => Promise<T>;

/** A PROCESSED event. `turns`: null if a custom scorer scored it, whose details may contain anything. */
export type CountedEvent = {
  readonly eventId: EventId;
  /** Of the user, as it was said to be after this event. */
  readonly level: FriendshipLevel;
  readonly topicId: string | null;
  readonly change: number;
  readonly turns: number | null;
  readonly endTime: Date;
};

/** What the tables have of a user. */
export type UserRecord = {
  readonly userId: string;
  /** Null: no row. */
  readonly friendship: Friendship | null;
  readonly topics: readonly TopicMetrics[];
  /** In the order in which they were processed. */
  readonly events: readonly CountedEvent[];
  /** Of events that were removed; a null topic stands for the whole user. */
  readonly ledger: readonly (LedgerLine & { readonly topicId: string | null })[];
};

export type Rebuilt = {
  readonly friendship: Friendship | null;
  readonly topics: readonly TopicMetrics[];
  /** Of the user after each of the events, in their order. */
  readonly levels: readonly FriendshipLevel[];
};
/** `why`: for the record of operators' actions. */
export type UserWrite = Rebuilt & { readonly why: string };
