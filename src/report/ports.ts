import type { EventId, EventStatus } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';
import type { Lane } from '../event/lane.ts';

/** The columns of an event row that callers can see. */
export type EventView = {
  readonly event_id: string;
  readonly conversation_id: string;
  readonly user_id: string;
  readonly bot_type: string;
  readonly bot_id: string;
  readonly bot_name: string;
  readonly lane: Lane;
  readonly agent_tag: string | null;
  readonly start_time: Date;
  readonly end_time: Date;
  readonly status: EventStatus;
  readonly attempt_count: number;
  readonly next_attempt_at: Date | null;
  readonly attempt_started_at: Date | null;
  readonly worker: string | null;
  readonly created_at: Date;
  readonly processed_at: Date | null;
  readonly updated_at: Date;
  readonly error_code: string | null;
  readonly error_details: string | null;
  readonly friendship_score_change: number | null;
  readonly new_friendship_level: FriendshipLevel | null;
  readonly score_calculation_details: unknown;
};

/** Both as JSON text. */
export type TextView = { readonly conversation_log: string; readonly metadata: string | null };

export type FriendshipRow = {
  readonly user_id: string;
  readonly friendship_score: number;
  readonly friendship_level: FriendshipLevel;
  readonly streak_day: number;
  readonly last_interaction_date: Date | null;
  readonly updated_at: Date;
};

export type TopicRow = {
  readonly user_id: string;
  readonly topic_id: string;
  readonly score: number;
  readonly turns: number;
  readonly level: FriendshipLevel;
  readonly last_date: Date;
};

/** A user's friendship, with its topics in order of their scores. */
export type FriendshipView = { readonly status: FriendshipRow; readonly topics: readonly TopicRow[] };

/** Reads the events of those conversations that exist, in any order. */
export type FindEvents = (conversationIds: readonly string[]) => Promise<readonly EventView[]>;
/** Reads those of these conversations that are closed. */
export type FindClosed = (conversationIds: readonly string[]) => Promise<readonly EventView[]>;
export type FindText = (eventId: string) => Promise<TextView | null>;
export type ListEvents = (
  filter: { readonly status?: EventStatus; readonly userId?: string; readonly before?: EventId },
  limit: number,
) => Promise<readonly EventView[]>;
/** Oldest first, after one id and before another. */
export type ExportEvents = (
  filter: {
    readonly after: EventId;
    readonly until: EventId;
    readonly status?: EventStatus;
    readonly userId?: string;
  },
  limit: number,
) => Promise<readonly EventView[]>;
/** Of those events that have a text. */
export type FindTexts = (eventIds: readonly string[]) => Promise<ReadonlyMap<string, TextView>>;
/** Of a line; `ageMs`: since it was written, by the database's clock. */
export type ClosedNumber = { readonly seq: number; readonly ageMs: number };
/** That an event was closed. */
export type ClosedLine = ClosedNumber & {
  /** As it is now; null: it was erased. */
  readonly event: EventView | null;
};
/** In order, after a number. */
export type ReadClosed = (after: number, limit: number) => Promise<readonly ClosedLine[]>;
/** The newest, in order. */
export type ReadNewestClosed = (limit: number) => Promise<readonly ClosedNumber[]>;
/**
 * @param known  as it was read before: returned if it has not changed. `isSettled`: no later change can have the same
 *   `updated_at`.
 */
export type FindFriendship = (
  userId: string,
  known: FriendshipView | null,
) => Promise<{ readonly view: FriendshipView; readonly isSettled: boolean } | null>;
