import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countCompleteTurns } from '../../../src/score/friendship/turns.ts';

const log = (speakers: string) =>
  [...speakers].map((s) => ({ speaker: s === 'p' ? ('pika' as const) : ('user' as const) }));

test.each([
  ['', 0],
  ['p', 0],
  ['ppp', 0],
  ['pu', 1],
  ['up', 1],
  ['ppuu', 1],
  ['pupupu', 3],
  ['pupup', 2],
  ['puup', 2],
])('%s counts %i', (speakers, turns) => {
  expect(countCompleteTurns(log(speakers))).toBe(turns);
});

test("a turn needs both speakers: never more than the rarer one's, and appending never lowers it", () => {
  const speakers = fc.string({ unit: fc.constantFrom('p', 'u'), maxLength: 60 });
  fc.assert(
    fc.property(speakers, (s) => {
      const n = countCompleteTurns(log(s));
      expect(n).toBeLessThanOrEqual(
        Math.min([...s].filter((c) => c === 'p').length, [...s].filter((c) => c === 'u').length),
      );
      expect(countCompleteTurns(log(`${s}p`))).toBeGreaterThanOrEqual(n);
    }),
  );
});
