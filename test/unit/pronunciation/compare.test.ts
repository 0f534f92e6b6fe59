import fc from 'fast-check';
import { expect, test } from 'vitest';
import { align } from '../../../src/pronunciation/similarity/align.ts';
import { compare, similarity } from '../../../src/pronunciation/similarity/compare.ts';

const plain = { stress: false, length: true, byClass: false };
const byClass = { ...plain, byClass: true };
const ipa = fc
  .array(fc.constantFrom('a', 'e', 'i', 'p', 't͡ʃ', 'k', 'ŋ', 'ˈo', 'uː', ' '), { maxLength: 14 })
  .map((all) => all.join(''));

test('both empty are alike, one empty is not', () => {
  expect(compare('', '', plain)).toMatchObject({ similarity: 1, distance: 0, steps: [] });
  expect(compare('', 'kæt', plain)).toMatchObject({ similarity: 0, distance: 3 });
  expect(compare('kæt', '', plain)).toMatchObject({ similarity: 0, distance: 3 });
});

test('the steps say where: substituted, dropped, inserted', () => {
  const { similarity: alike, distance, steps } = compare('ðə kæts', 'də kæt ɪn', plain);
  expect({ alike, distance }).toEqual({ alike: 1 - 3 / 7, distance: 3 });
  expect(steps.map(({ op, first, second }) => `${op} ${first} ${second}`)).toEqual([
    'substituted ð d',
    'same ə ə',
    'same k k',
    'same æ æ',
    'same t t',
    expect.stringMatching(/^(substituted s ɪ|inserted null ɪ)$/),
    expect.stringMatching(/^(inserted null n|substituted s n)$/),
  ]);
});

test('by class, a vowel for a vowel is half a mistake', () => {
  expect(compare('pæt', 'pɛt', byClass).distance).toBe(0.5);
  expect(compare('pæt', 'pkt', byClass).distance).toBe(1);
  expect(compare('pæt', 'pɛt', plain).distance).toBe(1);
});

test.each([['plain', plain] as const, ['by class', byClass] as const])('%s: it is a distance', (_, options) => {
  const distance = (a: string, b: string) => compare(a, b, options).distance;
  fc.assert(
    fc.property(ipa, ipa, ipa, (a, b, c) => {
      expect(distance(a, a)).toBe(0);
      expect(distance(a, b)).toBe(distance(b, a));
      expect(distance(a, c)).toBeLessThanOrEqual(distance(a, b) + distance(b, c));
      const { similarity: alike, first, second } = compare(a, b, options);
      expect(alike).toBeGreaterThanOrEqual(0);
      expect(alike).toBeLessThanOrEqual(1);
      expect(alike === 1).toBe(first.join(' ') === second.join(' '));
    }),
  );
});

test.each([['plain', plain] as const, ['by class', byClass] as const])(
  '%s: the steps lead from the one to the other, cost the distance, and the short way agrees',
  (_, options) => {
    fc.assert(
      fc.property(ipa, ipa, (a, b) => {
        const { steps, first, second, distance, similarity: alike } = compare(a, b, options);
        expect(steps.flatMap((step) => step.first ?? [])).toEqual(first);
        expect(steps.flatMap((step) => step.second ?? [])).toEqual(second);
        for (const { op, first: x, second: y } of steps) expect(op === 'same').toBe(x === y);
        if (!options.byClass) expect(steps.filter(({ op }) => op !== 'same')).toHaveLength(distance);
        expect(similarity(a, b, options)).toBe(alike);
      }),
    );
  },
);

test('no cheaper way is missed', () => {
  const cheapest = (a: readonly string[], b: readonly string[]): number => {
    if (a.length === 0 || b.length === 0) return a.length + b.length;
    const [x, ...restA] = a;
    const [y, ...restB] = b;
    return Math.min(cheapest(restA, restB) + (x === y ? 0 : 1), cheapest(restA, b) + 1, cheapest(a, restB) + 1);
  };
  const letters = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 5 });
  fc.assert(
    fc.property(letters, letters, (a, b) => {
      expect(align(a, b, (x, y) => (x === y ? 0 : 1)).distance).toBe(cheapest(a, b));
    }),
  );
});
