import { expect, test } from 'vitest';
import { distrustOf, isOff } from '../../../src/size/trust.ts';

const check = (predicted: number, measured: number) => ({ workers: 6, concurrency: 50, predicted, measured });

test('a prediction off by up to a fifth is trusted, one off by more is not', () => {
  expect(isOff(check(1_200, 1_000))).toBe(false);
  expect(isOff(check(1_210, 1_000))).toBe(true);
  expect(isOff(check(790, 1_000))).toBe(true);
});

test('figures from a quiet machine whose checks hold can be planned with', () => {
  expect(distrustOf(0.02, [check(1_050, 1_000), check(900, 1_000)])).toBeNull();
});

test('the reasons for distrust are named', () => {
  expect(distrustOf(0.02, [check(1_050, 1_000), check(1_789, 1_085)])).toBe(
    '6 x 50 was predicted at 1789/s and measured, twice, at 1085/s',
  );
  expect(distrustOf(0.4, [])).toMatch(/^40 % of the CPU was in use by others/);
});
