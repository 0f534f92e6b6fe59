import { expect, test } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import type { Friendship, TopicMetrics } from '../../../src/event/friendship.ts';
import { addToLedger } from '../../../src/event/ledger.ts';
import { addToFriendship, addToTopic, createCalendar, newFriendship } from '../../../src/settle/friendship.ts';
import type { CountedEvent } from '../../../src/settle/ports.ts';
import { differences, rebuild } from '../../../src/settle/rebuild.ts';

const day = createCalendar('Asia/Ho_Chi_Minh');

function randomly(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type Event = Omit<CountedEvent, 'turns'> & { turns: number; processedAt: Date };

const unsaid = { eventId: '' as EventId, level: 'PHASE1_STRANGER' as const };

function history(random: () => number, mayFall: boolean): Event[] {
  return Array.from({ length: 1 + Math.floor(random() * 40) }, (_, i) => ({
    ...unsaid,
    topicId: random() < 0.3 ? null : random() < 0.5 ? 'pets' : 'cars',
    change: Math.round((random() * 300 - (mayFall ? 100 : 0)) * 10_000) / 10_000,
    turns: Math.floor(random() * 9),
    endTime: new Date(Date.UTC(2026, 0, 1 + i) + Math.floor(random() * 3 * 86_400_000)),
    processedAt: new Date(Date.UTC(2026, 0, 5 + i)),
  }));
}

/** As settling adds them, one after the other. */
function settled(events: readonly Event[]): { friendship: Friendship; topics: TopicMetrics[] } {
  let friendship = newFriendship('u');
  const topics = new Map<string, TopicMetrics>();
  for (const { topicId, change, turns, endTime } of events) {
    const event = { change, totalTurns: turns, endTime };
    friendship = addToFriendship(friendship, event, day);
    if (topicId === null) continue;
    const none = { userId: 'u', topicId, score: 0, turns: 0, level: 'PHASE1_STRANGER' as const, lastDate: endTime };
    topics.set(topicId, addToTopic(topics.get(topicId) ?? none, event, friendship.level));
  }
  return { friendship, topics: [...topics.values()] };
}

test.each([false, true])('what settling wrote is what a rebuild counts (changes below zero: %s)', (mayFall) => {
  for (let seed = 1; seed <= 200; seed++) {
    const events = history(randomly(seed), mayFall);
    const { friendship, topics } = settled(events);
    const record = { userId: 'u', friendship, topics, events, ledger: [] };
    const rebuilt = rebuild(record, day);
    expect(differences(record, rebuilt), `seed ${seed}`).toEqual([]);
    const wrong = { ...record, friendship: { ...friendship, score: friendship.score + 1, streakDay: 99 } };
    expect(rebuild(wrong, day).friendship, `seed ${seed}`).toEqual(friendship);
    expect(rebuild({ ...record, friendship: null, topics: [] }, day).topics).toEqual(topics);
    const levels = events.map((_, i) => settled(events.slice(0, i + 1)).friendship.level);
    expect(rebuilt.levels, `seed ${seed}`).toEqual(levels);
  }
});

test('with the oldest events removed, the ledger takes their place', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomly(seed);
    const events = history(random, true);
    const { friendship, topics } = settled(events);
    const removed = events.slice(0, Math.floor(random() * events.length));
    const lines = [null, 'pets', 'cars'].flatMap((topicId) => {
      const own = removed.filter((e) => topicId === null || e.topicId === topicId);
      const units = own.map((e) => ({ ...e, change: Math.round(e.change * 10_000) }));
      return own.length === 0 ? [] : [{ topicId, ...addToLedger(null, units) }];
    });
    const record = { userId: 'u', friendship, topics, events: events.slice(removed.length), ledger: lines };
    expect(differences(record, rebuild(record, day)), `seed ${seed}`).toEqual([]);
  }
});

test('turns of a custom scorer, which events do not tell, stay as they are', () => {
  const [event] = history(randomly(7), false) as [Event];
  const { friendship, topics } = settled([{ ...event, topicId: 'pets' }]);
  const held = topics.map((topic) => ({ ...topic, turns: 1_234 }));
  const events = [{ ...event, topicId: 'pets', turns: null }];
  const record = { userId: 'u', friendship, topics: held, events, ledger: [] };
  expect(differences(record, rebuild(record, day))).toEqual([]);
});

test('a friendship and topics without any event are to go', () => {
  const { friendship, topics } = settled(history(randomly(3), false));
  const record = { userId: 'u', friendship, topics, events: [], ledger: [] };
  expect(rebuild(record, day)).toEqual({ friendship: null, topics: [], levels: [] });
  expect(differences(record, rebuild(record, day))[0]).toEqual({
    what: 'friendship',
    is: 'there',
    shouldBe: 'not there',
  });
});
