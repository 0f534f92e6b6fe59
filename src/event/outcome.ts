import type { ConversationText } from './conversation.ts';
import type { EventId, EventStatus } from './event.ts';

/** Parts of a score, stored as `score_calculation_details` and returned to callers. domain.md's names. */
export type ScoreDetails = {
  readonly total_turns: number;
  readonly user_initiated_questions: number;
  readonly session_emotion: string;
  readonly new_memories_count: number;
  readonly base_score: number;
  readonly engagement_bonus: number;
  readonly emotion_bonus: number;
  readonly memory_bonus: number;
  readonly total_score_before_clamp: number;
  readonly final_score_change: number;
  /** Name and version of the scorer, `name@version`. */
  readonly scorer: string;
};

/** What one attempt at an event came to. Codes are stable; details never carry conversation text. */
export type Outcome =
  | { readonly kind: 'scored'; readonly change: number; readonly totalTurns: number; readonly detailsJson: string }
  | { readonly kind: 'failed'; readonly permanent: boolean; readonly code: string; readonly details: string };

/** Whose score an event changes, and when its conversation ended. From the event's row, where these never change. */
export type Owner = { readonly userId: string; readonly topicId: string | null; readonly endTime: Date };

/** An event as a worker reads it before it is scored. */
export type LoadedEvent = {
  readonly eventId: EventId;
  readonly status: EventStatus;
  /** Attempts that failed before. */
  readonly attemptCount: number;
  /** Starts of redelivered attempts that have not ended. */
  readonly unfinishedStarts: number;
  readonly owner: Owner;
  /** Null if the event is closed, or its log is not there. */
  readonly text: ConversationText | null;
};

/** An outcome and the event it belongs to, on its way to be settled. */
export type AttemptResult = {
  readonly eventId: EventId;
  readonly outcome: Outcome;
  readonly owner: Owner;
  /** Attempts that had failed when this one began: two that began at the same count are counted as one. */
  readonly attemptCount: number;
  /** The broker's flag: somebody had this delivery before. */
  readonly redelivered: boolean;
  /** From its delivery to this outcome, milliseconds. */
  readonly runningMs: number;
};

/** What settling did with an attempt; the broker's answer follows from it. */
export type Settled =
  | { readonly verb: 'ack'; readonly as: 'processed' | 'retry' | 'duplicate' }
  | { readonly verb: 'dead-letter'; readonly as: 'failed' | 'unknown-event' };
