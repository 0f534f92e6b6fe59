import type { Turn } from '../../../event/conversation.ts';
import lexicon from '../lexicon/emotions.json' with { type: 'json' };
import { countUserQuestions } from '../questions.ts';
import { occurrences, phraseMatcher, plain, words } from '../text.ts';
import type { Emotion } from './emotions.ts';

const matchers = {
  curious: phraseMatcher(lexicon.curious),
  happy: phraseMatcher(lexicon.happy),
  sad: phraseMatcher(lexicon.sad),
  angry: phraseMatcher(lexicon.angry),
  disengaged: phraseMatcher(lexicon.disengaged),
};
const minimal = new Set(lexicon.minimal);

/** Signals of engagement and mood. Rates are per user item, so that long and short conversations are comparable. */
type Signals = {
  readonly items: number;
  readonly meanWords: number;
  /** Mean words per item in the second half divided by the first; below 1, the answers get shorter. */
  readonly trend: number;
  /** Share of items that say next to nothing: "ok", "dạ", or one or two words that are not a question. */
  readonly minimal: number;
  readonly questions: number;
  readonly exclaimed: number;
  readonly curious: number;
  readonly happy: number;
  readonly sad: number;
  readonly angry: number;
  readonly disengaged: number;
};

export function readSignals(log: readonly Turn[], questions: number = countUserQuestions(log)): Signals {
  const texts = log.filter((turn) => turn.speaker === 'user').map((turn) => plain(turn.text));
  const items = texts.length;
  const lengths = texts.map((text) => words(text).length);
  const half = items >> 1;
  const rate = (matcher: RegExp) => mean(texts.map((text) => Math.min(2, occurrences(text, matcher))));
  return {
    items,
    meanWords: mean(lengths),
    trend: items < 4 ? 1 : mean(lengths.slice(items - half)) / Math.max(1, mean(lengths.slice(0, half))),
    minimal: mean(texts.map((text, i) => (isMinimal(text, lengths[i] ?? 0) ? 1 : 0))),
    questions: items === 0 ? 0 : questions / items,
    exclaimed: mean(texts.map((text) => (text.includes('!') ? 1 : 0))),
    curious: rate(matchers.curious),
    happy: rate(matchers.happy),
    sad: rate(matchers.sad),
    angry: rate(matchers.angry),
    disengaged: rate(matchers.disengaged),
  };
}

/**
 * Judges the mood of a conversation: first strong feelings, then disengagement, then the kind of engagement. The
 * thresholds were tuned on one half of the sample conversations; docs/scoring.md has the figures.
 */
export function judgeByRules(s: Signals): Emotion {
  if (s.items === 0) return 'neutral';
  const warmth = s.happy + s.curious;
  if (s.angry >= 0.25 && s.angry > s.sad && s.angry > warmth) return 'angry';
  if (s.sad >= 0.25 && s.sad > warmth) return 'sad';
  const engagement = s.curious + s.questions + Math.min(1, s.meanWords / 20) * 0.5;
  const distance = s.minimal + s.disengaged + (s.trend < 0.5 ? 0.25 : 0);
  if (s.items >= 2 && distance >= 0.5 && distance > s.curious + s.questions + s.happy) return 'boring';
  if (engagement >= 0.75 && s.curious + s.questions >= s.happy * 0.5) return 'interesting';
  if (s.happy + s.exclaimed * 0.5 >= 0.5) return 'happy';
  return 'neutral';
}

function isMinimal(text: string, length: number): boolean {
  if (text.includes('?') || text.includes('!')) return false;
  return length <= 2 || minimal.has(text.replace(/[.,…]+/g, '').trim());
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, v) => sum + v, 0) / values.length;
}
