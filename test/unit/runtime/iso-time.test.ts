import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isoTime } from '../../../src/runtime/iso-time.ts';

test('as Date writes it, for every year a column can hold, in any order, with fractions truncated', () => {
  const ms = fc.double({ min: Date.UTC(1000, 0, 2), max: Date.UTC(9999, 11, 31), noNaN: true });
  fc.assert(
    fc.property(ms, (time) => {
      for (const near of [time, time + 1, time + 60_000, time - 86_400_000])
        expect(isoTime(near)).toBe(new Date(near).toISOString());
    }),
  );
  for (const edge of [0, -1, -86_400_000, -86_400_001, 86_399_999, 86_400_000])
    expect(isoTime(edge)).toBe(new Date(edge).toISOString());
});
