import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from '../../../src/settle/backoff.ts';

const policy = { baseMs: 5_000, capMs: 3_600_000 };

test.each([
  [1, 5_000],
  [2, 10_000],
  [4, 40_000],
  [11, 3_600_000],
  [1_000, 3_600_000],
])('attempt %i waits about %i ms', (attempt, ms) => {
  expect(backoffMs(attempt, policy, () => 0.5)).toBe(ms);
});

test('jitter stays within 20 % either way, whole milliseconds', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0, max: 0.999999, noNaN: true }),
      (attempt, random) => {
        const middle = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1));
        const delay = backoffMs(attempt, policy, () => random);
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(middle * 0.8));
        expect(delay).toBeLessThanOrEqual(Math.ceil(middle * 1.2));
      },
    ),
  );
});

test.each([0, -1, 1.5, Number.NaN])('attempt %d is refused', (attempt) => {
  expect(() => backoffMs(attempt, policy)).toThrow(RangeError);
});
