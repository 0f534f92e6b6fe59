import type { Pronunciation } from '../../event/conversation.ts';
import type { ScoreDetails } from '../../event/outcome.ts';
import type { ScoreWeights } from '../scorer.ts';
import type { EmotionReading } from './emotion/read-emotion.ts';

const mostItems = 300;

/** What is found in a conversation. */
export type Findings = {
  readonly totalTurns: number;
  readonly userQuestions: number;
  readonly emotion: EmotionReading;
  readonly newMemories: number;
  /** Null: nothing was to be repeated, or it was not compared. */
  readonly pronunciation: Pronunciation | null;
  /** Who read the conversation instead; null: nobody was asked. */
  readonly analyser: string | null;
};

/**
 * score change = max(0, base + engagement + emotion + memory + pronunciation)
 *
 * With the default weights: 3 turns, 1 question, interesting, 7 memories → 56; 2 turns, boring → max(0, −13) = 0.
 */
export function scoreFindings(findings: Findings, weights: ScoreWeights): Omit<ScoreDetails, 'scorer'> {
  const base = findings.totalTurns * weights.turn;
  const engagement = findings.userQuestions * weights.question;
  const { emotion: mood, ...reading } = findings.emotion;
  const emotion = mood === 'interesting' ? weights.interesting : mood === 'boring' ? weights.boring : 0;
  const memory = findings.newMemories * weights.memory;
  const pronunciation = (findings.pronunciation?.mean ?? 0) * weights.pronunciation;
  const total = base + engagement + emotion + memory + pronunciation;
  return {
    total_turns: findings.totalTurns,
    user_initiated_questions: findings.userQuestions,
    session_emotion: mood,
    emotion_reading: reading,
    new_memories_count: findings.newMemories,
    base_score: base,
    engagement_bonus: engagement,
    emotion_bonus: emotion,
    memory_bonus: memory,
    ...(findings.analyser !== null && { analyser: findings.analyser }),
    ...(findings.pronunciation !== null && {
      pronunciation: shortened(findings.pronunciation),
      pronunciation_bonus: pronunciation,
    }),
    total_score_before_clamp: total,
    final_score_change: Math.max(0, total),
  };
}

/** Details have a bound: of more items than any conversation has, those that were least alike. */
function shortened({ items, mean }: Pronunciation): Pronunciation {
  if (items.length <= mostItems) return { items, mean };
  const kept = items.toSorted((a, b) => a.similarity - b.similarity).slice(0, mostItems);
  return { items: kept.toSorted((a, b) => a.turn_id - b.turn_id), mean };
}
