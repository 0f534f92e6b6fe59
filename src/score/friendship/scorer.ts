import type { Conversation } from '../../event/conversation.ts';
import type { Scorer } from '../scorer.ts';
import { type Emotion, emotions } from './emotion/emotions.ts';
import { type EmotionReading, readEmotion } from './emotion/read-emotion.ts';
import { countNewMemories, isLesson } from './memories.ts';
import { countUserQuestions } from './questions.ts';
import { type Findings, scoreFindings } from './rules.ts';
import { countCompleteTurns } from './turns.ts';

/**
 * The default scorer: deterministic, local, CPU only. Raise the version whenever a rule, a word list or a weight
 * changes a score.
 */
const friendshipScorer: Scorer = {
  name: 'friendship',
  version: '2',
  waits: false,
  score(conversation, { weights }) {
    const details = scoreFindings(analyse(conversation), weights);
    return { change: details.final_score_change, totalTurns: details.total_turns, details };
  },
};
export default friendshipScorer;

/** Values in the metadata take precedence, because callers may know better; then what an analyser found; the rest is
 * derived from the log. */
function analyse({ conversation_log: log, bot_type, metadata, pronunciation, analysis }: Conversation): Findings {
  const questions = countUserQuestions(log);
  return {
    totalTurns: countCompleteTurns(log),
    userQuestions: count(metadata?.['user_initiated_questions']) ?? analysis?.userQuestions ?? questions,
    emotion:
      emotionOf(metadata?.['session_emotion'] ?? metadata?.['emotion'], 'caller') ??
      emotionOf(analysis?.emotion, 'analyser') ??
      readEmotion(log, questions),
    newMemories:
      count(metadata?.['new_memories_count'] ?? metadata?.['new_memories_created']) ??
      newMemories(analysis?.newMemories, bot_type) ??
      countNewMemories(log, bot_type),
    pronunciation: pronunciation ?? null,
    analyser: analysis?.by ?? null,
  };
}

/** In lessons, children repeat sentences that are not about themselves: no analyser can know that. */
function newMemories(found: number | undefined, botType: string): number | null {
  return found === undefined || isLesson(botType) ? null : found;
}

function count(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** @returns null if no emotion is given; `neutral` for an unknown one. */
function emotionOf(value: unknown, by: 'caller' | 'analyser'): EmotionReading | null {
  if (value === undefined || value === null) return null;
  const word = String(value).trim().toLowerCase();
  const emotion: Emotion = emotions.find((one) => one === word) ?? 'neutral';
  return { emotion, by, confidence: null, weights: [] };
}
