import type { Conversation } from '../../event/conversation.ts';
import type { Scorer } from '../scorer.ts';
import { type Emotion, emotions, judgeEmotion, readSignals } from './emotion.ts';
import { countNewMemories } from './memories.ts';
import { countUserQuestions } from './questions.ts';
import { type Findings, scoreFindings } from './rules.ts';
import { countCompleteTurns } from './turns.ts';

/**
 * The default scorer: deterministic, local, CPU only. Raise the version whenever a rule or a word list changes a score.
 */
const friendshipScorer: Scorer = {
  name: 'friendship',
  version: '1',
  waits: false,
  score(conversation, { weights }) {
    const details = scoreFindings(analyse(conversation), weights);
    return { change: details.final_score_change, totalTurns: details.total_turns, details };
  },
};
export default friendshipScorer;

/** Values in the metadata take precedence, because callers may know better; the rest is derived from the log. */
function analyse({ conversation_log: log, bot_type, metadata }: Conversation): Findings {
  const questions = countUserQuestions(log);
  return {
    totalTurns: countCompleteTurns(log),
    userQuestions: count(metadata?.['user_initiated_questions']) ?? questions,
    emotion:
      emotionOf(metadata?.['session_emotion'] ?? metadata?.['emotion']) ?? judgeEmotion(readSignals(log, questions)),
    newMemories:
      count(metadata?.['new_memories_count'] ?? metadata?.['new_memories_created']) ?? countNewMemories(log, bot_type),
  };
}

function count(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** @returns null if no emotion is given; `neutral` for an unknown one. */
function emotionOf(value: unknown): Emotion | null {
  if (value === undefined || value === null) return null;
  const word = String(value).trim().toLowerCase();
  return emotions.find((emotion) => emotion === word) ?? 'neutral';
}
