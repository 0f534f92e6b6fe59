import { expect, test } from 'vitest';
import { settledLines } from '../../../src/report/settled-lines.ts';

const line = (seq: number, ageMs = 100) => ({ seq, ageMs, event: null });
const seqs = (lines: Parameters<typeof settledLines>[0], position: number) =>
  settledLines(lines, position).map(({ seq }) => seq);

test('lines without a missing number are all there', () => {
  expect(seqs([line(4), line(5), line(6)], 3)).toEqual([4, 5, 6]);
  expect(seqs([], 3)).toEqual([]);
});

test('what comes after a missing number waits for it', () => {
  expect(seqs([line(4), line(6), line(7)], 3)).toEqual([4]);
  expect(seqs([line(5)], 3)).toEqual([]);
});

test('a number that is missing for longer than a transaction can take does not come any more', () => {
  expect(seqs([line(4), line(6, 31_000), line(7)], 3)).toEqual([4, 6, 7]);
  // The young one after the next hole still waits.
  expect(seqs([line(5, 31_000), line(6, 40_000), line(9)], 3)).toEqual([5, 6]);
});
