import type { ConversationText } from '../event/conversation.ts';
import type { EventId } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';

/** `scoring`: old events are scored. `scored`: all are, and nothing is changed yet. `applying`: some users have it. */
export type RescoreState = 'scoring' | 'scored' | 'applying' | 'applied';

/** A run of `afterword rescore`, as it is stored: one that was interrupted goes on from here. */
export type Rescore = {
  readonly id: number;
  /** The scorer's module, `friendship`, or what it undoes. */
  readonly scorer: string;
  readonly actor: string;
  readonly state: RescoreState;
  /** The run whose results this one takes back. */
  readonly undoes: number | null;
  /** The run that took its results back, or has begun to; null: none. */
  readonly undoneBy: number | null;
  /** Events from this id upward. */
  readonly firstId: EventId;
  /** Events below this id are to be looked at: the newest come first. */
  readonly nextId: EventId;
  /** At most so many events; null: all. */
  readonly most: number | null;
  /** Events so far. */
  readonly lookedAt: number;
  /** Those that the new scorer scores in the same way. */
  readonly unchanged: number;
  /** Those whose text was removed. */
  readonly withoutText: number;
  readonly startedAt: Date;
};

/** A PROCESSED event. */
export type OldEvent = {
  readonly eventId: EventId;
  readonly userId: string;
  /** Points. */
  readonly change: number;
  readonly details: unknown;
  /** Null: it was removed. */
  readonly text: ConversationText | null;
};

/** What the new scorer says of an event. */
export type Judgement = {
  readonly eventId: EventId;
  readonly userId: string;
  readonly changeBefore: number;
  readonly result:
    | { readonly kind: 'scored'; readonly change: number; readonly detailsJson: string }
    | { readonly kind: 'failed'; readonly code: string };
};

/** What became of a page of events; it is stored together with the run's progress. */
export type ScoredPage = {
  readonly judgements: readonly Judgement[];
  readonly lookedAt: number;
  readonly unchanged: number;
  readonly withoutText: number;
  readonly nextId: EventId;
  readonly isLast: boolean;
};

/** How many events the new scorer scores so many ten-thousandths of a point higher. */
export type DifferenceCount = { readonly units: number; readonly events: number };

/** What a run found, without what is the same as before. */
export type Findings = {
  /** In ascending order. */
  readonly differences: readonly DifferenceCount[];
  readonly failures: readonly { readonly code: string; readonly events: number; readonly example: EventId }[];
  readonly users: number;
};

/** What became of a user. */
export type AppliedUser = {
  readonly events: number;
  readonly levelBefore: FriendshipLevel | null;
  readonly levelAfter: FriendshipLevel | null;
};
