export const friendshipLevels = ['PHASE1_STRANGER', 'PHASE2_ACQUAINTANCE', 'PHASE3_FRIEND'] as const;
export type FriendshipLevel = (typeof friendshipLevels)[number];

/**
 * Scores are whole ten-thousandths of a point, the four decimals of their columns: with more, sums would depend on the
 * order of rounding.
 */
export const unitsPerPoint = 10_000;

/** A row of `friendship_status`. Scores have at most four decimals. */
export type Friendship = {
  readonly userId: string;
  readonly score: number;
  readonly level: FriendshipLevel;
  readonly streakDay: number;
  /** The latest end of a processed conversation; null for a user without one. */
  readonly lastInteraction: Date | null;
};

/** A row of `friendship_topic_metrics`; the topic is the event's `agent_tag`. */
export type TopicMetrics = {
  readonly userId: string;
  readonly topicId: string;
  readonly score: number;
  readonly turns: number;
  readonly level: FriendshipLevel;
  readonly lastDate: Date;
};

const acquaintanceFrom = 500;
const friendFrom = 3_000;

/** The level that a score corresponds to. */
export function levelOf(score: number): FriendshipLevel {
  return score < acquaintanceFrom ? 'PHASE1_STRANGER' : score < friendFrom ? 'PHASE2_ACQUAINTANCE' : 'PHASE3_FRIEND';
}
