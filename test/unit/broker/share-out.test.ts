import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shareOut } from '../../../src/broker/lanes/share-out.ts';

const all = Number.POSITIVE_INFINITY;
const share = (capacity: number, needs: readonly number[], { weights = [6, 3, 1], turn = 0 } = {}) =>
  shareOut(
    capacity,
    needs.map((n, i) => ({ weight: weights[i] ?? 1, needs: n })),
    turn,
  );

test('while all want everything, it is divided by weight', () => {
  expect(share(10, [all, all, all])).toEqual([6, 3, 1]);
  expect(share(100, [all, all, all])).toEqual([60, 30, 10]);
});

test('what one leaves goes to the others, by their weights', () => {
  expect(share(10, [0, all, 0])).toEqual([0, 10, 0]);
  expect(share(10, [2, all, all])).toEqual([2, 6, 2]);
  expect(share(8, [all, 0, all])).toEqual([7, 0, 1]);
  expect(share(10, [1, 2, 3])).toEqual([1, 2, 3]);
});

test('whoever needs any gets one, as long as there are enough', () => {
  expect(share(3, [all, all, all])).toEqual([1, 1, 1]);
  expect(share(4, [all, all, all], { weights: [100, 1, 1] })).toEqual([2, 1, 1]);
});

test('with fewer slots than that they take turns: often the first, and the last sometimes', () => {
  const served = [0, 0, 0];
  for (let turn = 0; turn < 100; turn++)
    for (const [i, slots] of share(1, [all, all, all], { turn }).entries()) served[i] = (served[i] ?? 0) + slots;
  expect(served).toEqual([60, 30, 10]);
});

test('never more than there is, never more than is needed, and nothing is left while somebody needs it', () => {
  const demand = fc.record({ weight: fc.integer({ min: 1, max: 100 }), needs: fc.nat({ max: 60 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.array(demand, { maxLength: 4 }),
      fc.nat(),
      (capacity, some, turn) => {
        const given = shareOut(capacity, some, turn);
        const sum = given.reduce((a, b) => a + b, 0);
        const needed = some.reduce((n, { needs }) => n + needs, 0);
        expect(sum).toBe(Math.min(capacity, needed));
        for (const [i, { needs }] of some.entries()) expect(given[i]).toBeLessThanOrEqual(needs);
      },
    ),
  );
});
