import type { ConversationText, Pronunciation } from './conversation.ts';
import type { EventId, EventStatus } from './event.ts';

/** The parts of a score, stored as `score_calculation_details` and returned to callers under these names. */
export type ScoreDetails = {
  readonly total_turns: number;
  readonly user_initiated_questions: number;
  readonly session_emotion: string;
  /** Who read the emotion. `confidence`, `weights`: only the model has them (docs/scoring.md). */
  readonly emotion_reading: {
    readonly by: 'model' | 'rules' | 'analyser' | 'caller';
    readonly confidence: number | null;
    readonly weights: readonly number[];
  };
  readonly new_memories_count: number;
  readonly base_score: number;
  readonly engagement_bonus: number;
  readonly emotion_bonus: number;
  readonly memory_bonus: number;
  /** Only with `ANALYSER_MODULE`: who read the conversation. */
  readonly analyser?: string;
  /** Only if something was to be repeated, and was compared. */
  readonly pronunciation?: Pronunciation;
  readonly pronunciation_bonus?: number;
  readonly total_score_before_clamp: number;
  readonly final_score_change: number;
  /** Name and version of the scorer, `name@version`. */
  readonly scorer: string;
};

/** The result of one attempt at an event. Codes are stable; details never contain conversation text. */
export type Outcome =
  | { readonly kind: 'scored'; readonly change: number; readonly totalTurns: number; readonly detailsJson: string }
  | { readonly kind: 'failed'; readonly permanent: boolean; readonly code: string; readonly details: string };

/** Whose score an event changes, and when its conversation ended; read from the event's row, where neither changes. */
export type Owner = { readonly userId: string; readonly topicId: string | null; readonly endTime: Date };

/** An event as a worker reads it before it is scored. */
export type LoadedEvent = {
  readonly eventId: EventId;
  readonly status: EventStatus;
  /** Number of attempts that have failed. */
  readonly attemptCount: number;
  /** Number of starts of redelivered attempts that have not ended. */
  readonly unfinishedStarts: number;
  readonly owner: Owner;
  /** Null if the event is closed or its log is missing. */
  readonly text: ConversationText | null;
};

/** An outcome to be settled, and the event it belongs to. */
export type AttemptResult = {
  readonly eventId: EventId;
  readonly outcome: Outcome;
  readonly owner: Owner;
  /** Attempts that had failed when this one began. Two attempts that began with the same number count as one. */
  readonly attemptCount: number;
  /** The broker's flag: it has delivered this message before. */
  readonly redelivered: boolean;
  /** From its delivery to this outcome, milliseconds. */
  readonly runningMs: number;
};

/** What became of a delivery; it determines the answer to the broker. Codes as in the event's row. */
export type Settled =
  /** `erased`: its user was erased meanwhile. */
  | { readonly verb: 'ack'; readonly as: 'processed' | 'duplicate' | 'erased' }
  | { readonly verb: 'ack'; readonly as: 'retry'; readonly code: string }
  /** `code`: null if it failed in an earlier attempt. */
  | { readonly verb: 'dead-letter'; readonly as: 'failed'; readonly code: string | null }
  | { readonly verb: 'dead-letter'; readonly as: 'unknown-event' }
  /** `code`: why the message is not one of ours. */
  | { readonly verb: 'dead-letter'; readonly as: 'not-ours'; readonly code: string };
