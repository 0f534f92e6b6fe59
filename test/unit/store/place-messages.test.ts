import fc from 'fast-check';
import { expect, test } from 'vitest';
import { placeMessages, type Wanted } from '../../../src/store/chat-sessions/place-messages.ts';

const wanted = (messageId: string, position: number | null): Wanted => ({
  messageId,
  position,
  role: 'user',
  text: messageId,
  sentAt: new Date(0),
});
const empty = { lastPosition: 0, stored: new Map<string, number>(), taken: new Set<number>() };

test('positions that callers were told are kept', () => {
  const { fresh, moved, lastPosition } = placeMessages([wanted('a', 1), wanted('b', 2)], empty);
  expect(fresh.map((m) => [m.messageId, m.position])).toEqual([
    ['a', 1],
    ['b', 2],
  ]);
  expect([moved, lastPosition]).toEqual([[], 2]);
});

test('what is stored is not placed again; at another position than told, it has moved', () => {
  const stored = new Map([
    ['a', 1],
    ['b', 7],
  ]);
  const placed = placeMessages([wanted('a', 1), wanted('b', 2), wanted('c', null)], {
    lastPosition: 7,
    stored,
    taken: new Set([1]),
  });
  expect(placed.fresh.map((m) => [m.messageId, m.position])).toEqual([['c', 8]]);
  expect(placed.moved).toEqual(['b']);
});

test('a place that another message has becomes the next free one, and the order stays', () => {
  const placed = placeMessages([wanted('a', 5), wanted('b', 6), wanted('c', 7)], {
    lastPosition: 5,
    stored: new Map(),
    taken: new Set([5]),
  });
  expect(placed.fresh.map((m) => [m.messageId, m.position])).toEqual([
    ['a', 6],
    ['b', 7],
    ['c', 8],
  ]);
  expect(placed.moved).toEqual(['a', 'b', 'c']);
});

test('whatever is wanted, each new message has one place that nobody else has', () => {
  const messages = fc.uniqueArray(
    fc.record({ id: fc.integer({ min: 0, max: 30 }), position: fc.option(fc.integer({ min: 1, max: 20 })) }),
    { selector: ({ id }) => id },
  );
  const places = fc.uniqueArray(
    fc.record({ id: fc.integer({ min: 0, max: 30 }), at: fc.integer({ min: 1, max: 20 }) }),
    {
      selector: ({ at }) => at,
    },
  );
  fc.assert(
    fc.property(messages, places, (want, have) => {
      const byId = new Map(have.map(({ id, at }) => [String(id), at]));
      const taken = new Set(have.map(({ at }) => at));
      const lastPosition = Math.max(0, ...taken);
      const placed = placeMessages(
        want.map(({ id, position }) => wanted(String(id), position)),
        { lastPosition, stored: byId, taken },
      );
      const positions = placed.fresh.map((m) => m.position);
      expect(new Set(positions).size).toBe(positions.length);
      for (const position of positions) expect(taken.has(position)).toBe(false);
      expect(placed.fresh.map((m) => m.messageId)).toEqual(
        want.map(({ id }) => String(id)).filter((id) => !byId.has(id)),
      );
      expect(placed.lastPosition).toBe(Math.max(lastPosition, ...positions));
    }),
  );
});
