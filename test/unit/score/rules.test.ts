import { expect, test } from 'vitest';
import type { Emotion } from '../../../src/score/friendship/emotion/emotions.ts';
import { scoreFindings } from '../../../src/score/friendship/rules.ts';

const read = (emotion: Emotion) => ({ emotion, by: 'rules' as const, confidence: null, weights: [] });
const weights = { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5 };

test.each([
  [{ totalTurns: 3, userQuestions: 1, emotion: 'interesting', newMemories: 7 }, 56],
  [{ totalTurns: 2, userQuestions: 0, emotion: 'boring', newMemories: 0 }, 0],
  [{ totalTurns: 0, userQuestions: 0, emotion: 'neutral', newMemories: 0 }, 0],
  [{ totalTurns: 4, userQuestions: 2, emotion: 'angry', newMemories: 1 }, 15],
] as const)('%j is worth %i', (findings, change) => {
  expect(scoreFindings({ ...findings, emotion: read(findings.emotion) }, weights).final_score_change).toBe(change);
});

test('the details add up, and show what was clipped at zero', () => {
  expect(
    scoreFindings({ totalTurns: 2, userQuestions: 0, emotion: read('boring'), newMemories: 0 }, weights),
  ).toMatchObject({
    base_score: 2,
    emotion_bonus: -15,
    total_score_before_clamp: -13,
    final_score_change: 0,
  });
});
