import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addToFriendship, addToTopic, createCalendar, newFriendship } from '../../../src/settle/friendship.ts';

const vietnam = createCalendar('Asia/Ho_Chi_Minh');
const event = (change: number, endTime = '2026-01-01T10:00:00Z', totalTurns = 1) => ({
  change,
  totalTurns,
  endTime: new Date(endTime),
});
const at = (score: number) => ({
  ...newFriendship('u'),
  score,
  lastInteraction: new Date('2026-01-01T10:00:00Z'),
  streakDay: 3,
});

test.each([
  [499, 1, 'PHASE2_ACQUAINTANCE'],
  [498, 1, 'PHASE1_STRANGER'],
  [2_999, 1, 'PHASE3_FRIEND'],
  [2_999, 0.9999, 'PHASE2_ACQUAINTANCE'],
  [10, -50, 'PHASE1_STRANGER'],
])('%d and %d make %s', (score, change, level) => {
  const after = addToFriendship(at(score), event(change), vietnam);
  expect(after.level).toBe(level);
  expect(after.score).toBe(Math.max(0, score + change));
});

test.each([
  ['the first event starts at 1', newFriendship('u'), '2026-01-01T10:00:00Z', 1],
  ['the same day keeps', at(0), '2026-01-01T16:59:59Z', 3],
  [
    'the next day in the calendar of the zone adds 1, though it is the same day in UTC',
    at(0),
    '2026-01-01T17:00:00Z',
    4,
  ],
  ['a gap resets', at(0), '2026-01-03T17:00:00Z', 1],
  ['an older event changes nothing', at(0), '2025-12-31T10:00:00Z', 3],
])('streak: %s', (_name, before, endTime, streak) => {
  expect(addToFriendship(before, event(1, endTime), vietnam).streakDay).toBe(streak);
});

test('an older event adds its score and leaves the date', () => {
  const after = addToFriendship(at(5), event(1, '2025-12-31T10:00:00Z'), vietnam);
  expect(after).toMatchObject({ score: 6, lastInteraction: new Date('2026-01-01T10:00:00Z') });
});

test('the calendar crosses months, years and leap days by one', () => {
  for (const [a, b] of [
    ['2025-12-31', '2026-01-01'],
    ['2028-02-28', '2028-02-29'],
    ['2028-02-29', '2028-03-01'],
  ]) {
    expect(vietnam(new Date(`${b}T00:00:00Z`)) - vietnam(new Date(`${a}T00:00:00Z`))).toBe(1);
  }
});

const topic = (
  score: number,
  level: 'PHASE1_STRANGER' | 'PHASE2_ACQUAINTANCE' | 'PHASE3_FRIEND' = 'PHASE1_STRANGER',
) => ({
  userId: 'u',
  topicId: 't',
  score,
  turns: 2,
  level,
  lastDate: new Date('2026-01-01T10:00:00Z'),
});

test.each([
  [topic(140), 10, 'PHASE3_FRIEND', 'PHASE3_FRIEND'],
  [topic(140), 10, 'PHASE2_ACQUAINTANCE', 'PHASE2_ACQUAINTANCE'],
  [topic(140, 'PHASE2_ACQUAINTANCE'), 10, 'PHASE1_STRANGER', 'PHASE2_ACQUAINTANCE'],
  [topic(40), 9, 'PHASE3_FRIEND', 'PHASE1_STRANGER'],
  [topic(60, 'PHASE2_ACQUAINTANCE'), -20, 'PHASE3_FRIEND', 'PHASE1_STRANGER'],
] as const)('topic %j and %i with user %s becomes %s', (before, change, userLevel, level) => {
  const after = addToTopic(before, event(change, '2026-01-01T10:00:00Z', 4), userLevel);
  expect(after).toMatchObject({ level, score: before.score + change, turns: 6 });
});

test('changes that are not negative commute to the last decimal', () => {
  const changes = fc.array(
    fc.integer({ min: 0, max: 10_000_000 }).map((n) => n / 10_000),
    { maxLength: 50 },
  );
  fc.assert(
    fc.property(changes, (list) => {
      const sum = (order: number[]) =>
        order.reduce((f, change) => addToFriendship(f, event(change), vietnam), newFriendship('u')).score;
      expect(sum(list)).toBe(sum(list.toReversed()));
    }),
  );
});
