import { expect, test } from 'vitest';
import { distributionOf } from '../../../src/rescore/index.ts';

const points = (counts: Record<string, number>) =>
  Object.entries(counts)
    .map(([value, events]) => ({ units: Math.round(Number(value) * 10_000), events }))
    .sort((a, b) => a.units - b.units);

test('nothing was scored', () => {
  expect(distributionOf([], 0)).toBeNull();
});

test('everything is the same', () => {
  expect(distributionOf([], 3)).toMatchObject({
    ...{ events: 3, lower: 0, same: 3, higher: 0, mean: 0 },
    percentiles: { 0: 0, 50: 0, 100: 0 },
    buckets: [{ from: 0, to: 0.0001, events: 3 }],
  });
});

test('counts, mean and percentiles are over all, those that are the same included', () => {
  const found = distributionOf(points({ '-3': 10, '-0.5': 5, '0': 2, '0.0001': 1, '4': 30, '60': 2 }), 50);
  expect(found).toMatchObject({ events: 100, lower: 15, same: 52, higher: 33 });
  expect(found?.mean).toBeCloseTo((-30 - 2.5 + 0.0001 + 120 + 120) / 100, 4);
  expect(found?.percentiles).toEqual({ 0: -3, 1: -3, 10: -3, 50: 0, 90: 4, 99: 60, 100: 60 });
});

test('every difference is in one bucket, and the bounds are where they are said to be', () => {
  const values = ['-51', '-50', '-20', '-1', '-0.0001', '0', '0.0001', '0.9999', '1', '50', '1000'];
  const found = distributionOf(points(Object.fromEntries(values.map((value) => [value, 1]))), 0);
  expect(found?.buckets.filter(({ events }) => events > 0)).toEqual([
    { from: null, to: -50, events: 1 },
    { from: -50, to: -20, events: 1 },
    { from: -20, to: -10, events: 1 },
    { from: -1, to: 0, events: 2 },
    { from: 0, to: 0.0001, events: 1 },
    { from: 0.0001, to: 1, events: 2 },
    { from: 1, to: 2, events: 1 },
    { from: 50, to: null, events: 2 },
  ]);
  const sum = found?.buckets.reduce((total, { events }) => total + events, 0);
  expect(sum).toBe(values.length);
});
