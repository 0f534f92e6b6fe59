import { expect, test } from 'vitest';
import type { Emotion } from '../../../src/score/friendship/emotion/emotions.ts';
import { scoreFindings } from '../../../src/score/friendship/rules.ts';

const read = (emotion: Emotion) => ({ emotion, by: 'rules' as const, confidence: null, weights: [] });
const weights = { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5, pronunciation: 0 };

test.each([
  [{ totalTurns: 3, userQuestions: 1, emotion: 'interesting', newMemories: 7 }, 56],
  [{ totalTurns: 2, userQuestions: 0, emotion: 'boring', newMemories: 0 }, 0],
  [{ totalTurns: 0, userQuestions: 0, emotion: 'neutral', newMemories: 0 }, 0],
  [{ totalTurns: 4, userQuestions: 2, emotion: 'angry', newMemories: 1 }, 15],
] as const)('%j is worth %i', (findings, change) => {
  expect(
    scoreFindings({ ...findings, emotion: read(findings.emotion), pronunciation: null, analyser: null }, weights)
      .final_score_change,
  ).toBe(change);
});

test('the details add up, and show what was clipped at zero', () => {
  expect(
    scoreFindings(
      { totalTurns: 2, userQuestions: 0, emotion: read('boring'), newMemories: 0, pronunciation: null, analyser: null },
      weights,
    ),
  ).toMatchObject({
    base_score: 2,
    emotion_bonus: -15,
    total_score_before_clamp: -13,
    final_score_change: 0,
  });
});

test('a pronunciation counts in proportion to how alike it is, and is in the details', () => {
  const pronunciation = { items: [{ turn_id: 2, similarity: 0.75 }], mean: 0.75 };
  const findings = {
    totalTurns: 1,
    userQuestions: 0,
    emotion: read('neutral'),
    newMemories: 0,
    pronunciation,
    analyser: null,
  };
  expect(scoreFindings(findings, { ...weights, pronunciation: 8 })).toMatchObject({
    pronunciation,
    pronunciation_bonus: 6,
    final_score_change: 7,
  });
  expect(scoreFindings(findings, weights).final_score_change).toBe(1);
  expect(scoreFindings({ ...findings, pronunciation: null, analyser: null }, weights)).not.toHaveProperty(
    'pronunciation',
  );
});
