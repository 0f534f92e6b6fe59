import fc from 'fast-check';
import { expect, test } from 'vitest';
import { replayBounds } from '../../../src/operate/audit/replay-bounds.ts';

const at = (minute: number) => new Date(minute * 60_000);

test('without a negative change both bounds are the sum', () => {
  const changes = [1, 0, 250].map((change, i) => ({ change, processedAt: at(i) }));
  expect(replayBounds(changes)).toEqual({ low: 251, high: 251 });
});

test('the floor applies after each moment, and changes committed together may have been applied in any order', () => {
  expect(
    replayBounds([
      { change: -5, processedAt: at(1) },
      { change: 3, processedAt: at(2) },
    ]),
  ).toEqual({ low: 3, high: 3 });
  expect(
    replayBounds([
      { change: -5, processedAt: at(1) },
      { change: 3, processedAt: at(1) },
    ]),
  ).toEqual({ low: 0, high: 3 });
});

test('every order within each moment ends between the bounds', () => {
  const change = fc.record({
    change: fc.integer({ min: -100, max: 100 }),
    minute: fc.integer({ min: 0, max: 5 }),
    rank: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (items) => {
      const ordered = items.toSorted((a, b) => a.minute - b.minute || a.rank - b.rank);
      const score = ordered.reduce((held, item) => Math.max(0, held + item.change), 0);
      const { low, high } = replayBounds(
        ordered.map((item) => ({ change: item.change, processedAt: at(item.minute) })),
      );
      expect(score).toBeGreaterThanOrEqual(low);
      expect(score).toBeLessThanOrEqual(high);
    }),
    { numRuns: 2_000 },
  );
});
