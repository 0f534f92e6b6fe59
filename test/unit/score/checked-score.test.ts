import { expect, test } from 'vitest';
import { checkScore, maxDetailsBytes } from '../../../src/score/checked-score.ts';

const scorer = 'mine@1';

test('a score is stored with four decimals and the name of its scorer', () => {
  expect(checkScore({ change: 1.23456, totalTurns: 2, details: { mood: 'good' } }, scorer)).toEqual({
    change: 1.2346,
    totalTurns: 2,
    detailsJson: '{"mood":"good","scorer":"mine@1"}',
  });
  expect(checkScore({ change: -0.5 }, scorer)).toEqual({
    change: -0.5,
    totalTurns: 0,
    detailsJson: '{"scorer":"mine@1"}',
  });
});

const circle: Record<string, unknown> = {};
circle['self'] = circle;

test.each([
  [undefined, 'answered undefined and not { change, totalTurns?, details }'],
  [null, 'answered null'],
  [7, 'answered a number'],
  [[1], 'answered a list'],
  [{}, 'change is undefined; it must be a number'],
  [{ change: '5' }, 'change is a string; it must be a number'],
  [{ change: 5n }, 'change is a bigint'],
  [{ change: Number.NaN }, 'change is NaN; it must be finite'],
  [{ change: Number.NEGATIVE_INFINITY }, 'change is -Infinity'],
  [{ change: 1e10 }, 'change is 10000000000; it must be within ±1000000000'],
  [{ change: 1, totalTurns: -1 }, 'totalTurns is -1; it must be a whole number of at least 0'],
  [{ change: 1, totalTurns: 1.5 }, 'totalTurns is 1.5'],
  [{ change: 1, totalTurns: '3' }, 'totalTurns is a string'],
  [{ change: 1, details: 'a secret' }, 'details is a string; it must be an object'],
  [{ change: 1, details: ['a secret'] }, 'details is a list'],
  [{ change: 1, details: { n: 1n } }, 'details hold what JSON cannot'],
  [{ change: 1, details: { toJSON: () => undefined } }, 'details hold what JSON cannot'],
  [{ change: 1, details: circle }, 'details hold what JSON cannot'],
  [
    { change: 1, details: { said: 'a secret'.repeat(10_000) } },
    ` bytes of JSON; at most ${maxDetailsBytes} are stored`,
  ],
])('%s: says what is wrong, and never what was said', (answer, problem) => {
  const found = checkScore(answer, scorer);
  expect(found).toEqual({ problem: expect.stringContaining(problem) });
  expect(JSON.stringify(found)).not.toContain('secret');
});
