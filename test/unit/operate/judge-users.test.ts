import { expect, test } from 'vitest';
import { judgeUsers } from '../../../src/operate/audit/judge-users.ts';
import type { UserPage } from '../../../src/operate/audit/ports.ts';

const end = new Date('2026-01-31T20:15:00Z');

/** A user with two topics and correct sums: 600 points. */
function page(overrides: Partial<UserPage> = {}): UserPage {
  const sum = { userId: 'u', events: 3, withoutResult: 0, turns: 7, lastEnd: end };
  return {
    changes: [],
    ledger: [],
    sums: [
      { ...sum, topicId: 'pets', change: 4_000_000 },
      { ...sum, topicId: null, change: 2_000_000 },
    ],
    friendships: [{ userId: 'u', score: 6_000_000, level: 'PHASE2_ACQUAINTANCE', lastInteraction: end }],
    topics: [{ userId: 'u', topicId: 'pets', score: 4_000_000, turns: 7, lastDate: end }],
    ...overrides,
  };
}
const friendship = page().friendships[0] as UserPage['friendships'][number];
const topic = page().topics[0] as UserPage['topics'][number];

test('exact sums are no violation', () => {
  expect(judgeUsers(page())).toEqual([]);
});

test.each<[string, Partial<UserPage>, object]>([
  [
    'a lost update',
    { friendships: [{ ...friendship, score: 5_999_999 }] },
    { rule: 'friendship', detail: expect.stringContaining('599.9999') },
  ],
  [
    "a level that is not the score's",
    { friendships: [{ ...friendship, level: 'PHASE3_FRIEND' }] },
    { rule: 'friendship' },
  ],
  ['an older date', { friendships: [{ ...friendship, lastInteraction: new Date(0) }] }, { rule: 'friendship' }],
  ['no friendship', { friendships: [] }, { rule: 'friendship', userId: 'u' }],
  ['a topic counted twice', { topics: [{ ...topic, score: 8_000_000 }] }, { rule: 'topic', topicId: 'pets' }],
  ['turns counted twice', { topics: [{ ...topic, turns: 14 }] }, { rule: 'topic' }],
  ['no topic', { topics: [] }, { rule: 'topic', topicId: 'pets' }],
  ['a topic without events', { topics: [topic, { ...topic, topicId: 'cars' }] }, { rule: 'topic', topicId: 'cars' }],
  ['a missing result', { sums: page().sums.map((s, i) => ({ ...s, withoutResult: i })) }, { rule: 'result' }],
])('%s is found, and nothing else', (_name, overrides, violation) => {
  expect(judgeUsers(page(overrides))).toEqual([expect.objectContaining(violation)]);
});

test('a user whose score may fall is replayed with the floor', () => {
  const changes = [
    { userId: 'u', topicId: 'pets', change: -50, processedAt: new Date(1) },
    { userId: 'u', topicId: 'pets', change: 30, processedAt: new Date(2) },
  ];
  const falling = page({
    changes,
    sums: [
      {
        userId: 'u',
        topicId: 'pets',
        events: 2,
        withoutResult: 0,
        change: -20,
        turns: null,
        lastEnd: end,
      },
    ],
    friendships: [{ ...friendship, score: 30, level: 'PHASE1_STRANGER' }],
    topics: [{ ...topic, score: 30 }],
  });
  expect(judgeUsers(falling)).toEqual([]);
  const lost = { ...falling, friendships: [{ ...friendship, score: 0, level: 'PHASE1_STRANGER' as const }] };
  expect(judgeUsers(lost)).toEqual([expect.objectContaining({ rule: 'friendship' })]);
});
