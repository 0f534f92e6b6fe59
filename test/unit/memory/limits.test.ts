import { expect, test } from 'vitest';
import { keepable, limitsOf, memoryOf } from '../../../src/memory/index.ts';

const gib = 1_024 ** 3;
const mib = 1_024 ** 2;

test.each([
  ['a container', 16 * gib, 768 * mib, 1, 768 * mib],
  ['a container with a whole fleet', 16 * gib, 768 * mib, 3, 768 * mib],
  ['a machine of its own', 16 * gib, 2 ** 64, 1, 16 * gib],
  ['a machine that a fleet shares', 16 * gib, 0, 4, 4 * gib],
  ['a small machine that a large fleet shares', gib, 0, 11, 512 * mib],
])('memory of one process: %s', (_, machine, constrained, sharers, expected) => {
  expect(memoryOf(machine, constrained, sharers)).toBe(expected);
});

test('limits are shares, bytes or none', () => {
  expect(limitsOf({ share: 0.8 }, { bytes: 600 * mib }, gib)).toEqual({
    softBytes: Math.floor(0.8 * gib),
    hardBytes: 600 * mib,
  });
  expect(limitsOf(null, null, gib)).toEqual({ softBytes: null, hardBytes: null });
});

test('a limit that a healthy process would exceed is dropped, and named', () => {
  const limits = { softBytes: 100, hardBytes: 200 };
  expect(keepable(limits, 60)).toEqual({ limits, dropped: [] });
  expect(keepable(limits, 70)).toEqual({ limits: { softBytes: null, hardBytes: 200 }, dropped: ['MEMORY_SOFT_LIMIT'] });
  expect(keepable(limits, 140).dropped).toEqual(['MEMORY_SOFT_LIMIT', 'MEMORY_HARD_LIMIT']);
});
