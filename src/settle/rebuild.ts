import type { Friendship, FriendshipLevel, TopicMetrics } from '../event/friendship.ts';
import { levelOf, unitsPerPoint } from '../event/friendship.ts';
import { addToFriendship, addToTopic, newFriendship } from './friendship.ts';
import type { Rebuilt, UserRecord } from './ports.ts';

/**
 * The friendship and the topics of a user, counted once more from the events in their order, on top of what the ledger
 * has. What events do not tell stays as it is: turns of custom scorers, and streaks and topic levels of removed events.
 */
export function rebuild(record: UserRecord, calendarDay: (time: Date) => number): Rebuilt {
  const { userId, events, ledger } = record;
  if (events.length === 0 && ledger.length === 0) return { friendship: null, topics: [], levels: [] };
  const held = new Map(record.topics.map((topic) => [topic.topicId, topic]));
  const removed = new Map(ledger.map((line) => [line.topicId, line]));
  const ofUser = removed.get(null);
  let friendship: Friendship =
    ofUser === undefined
      ? newFriendship(userId)
      : {
          ...newFriendship(userId),
          score: ofUser.score / unitsPerPoint,
          level: levelOf(ofUser.score / unitsPerPoint),
          lastInteraction: ofUser.lastEnd,
        };
  const topics = new Map<string, TopicMetrics>();
  const levels: FriendshipLevel[] = [];
  const unknownTurns = new Set<string>();
  for (const [topicId, line] of removed) {
    if (topicId === null) continue;
    if (line.turns === null) unknownTurns.add(topicId);
    topics.set(topicId, {
      ...{ userId, topicId, score: line.score / unitsPerPoint, turns: line.turns ?? 0, lastDate: line.lastEnd },
      level: held.get(topicId)?.level ?? 'PHASE1_STRANGER',
    });
  }
  for (const { topicId, change, turns, endTime } of events) {
    const event = { change, totalTurns: turns ?? 0, endTime };
    friendship = addToFriendship(friendship, event, calendarDay);
    levels.push(friendship.level);
    if (topicId === null) continue;
    if (turns === null) unknownTurns.add(topicId);
    const before = topics.get(topicId) ?? {
      ...{ userId, topicId, score: 0, turns: 0, level: 'PHASE1_STRANGER' as const, lastDate: endTime },
    };
    topics.set(topicId, addToTopic(before, event, friendship.level));
  }
  const streakDay =
    ofUser === undefined ? friendship.streakDay : (record.friendship?.streakDay ?? friendship.streakDay);
  return {
    levels,
    friendship: { ...friendship, streakDay },
    topics: [...topics.values()].map((topic) => ({
      ...topic,
      turns: unknownTurns.has(topic.topicId) ? (held.get(topic.topicId)?.turns ?? topic.turns) : topic.turns,
    })),
  };
}

/** What a rebuild would change, as fields with what is there and what should be. */
export function differences(
  record: UserRecord,
  rebuilt: Rebuilt,
): { readonly what: string; readonly is: unknown; readonly shouldBe: unknown }[] {
  const topics = (all: readonly TopicMetrics[]) => new Map(all.map((topic) => [topic.topicId, topic]));
  const [before, after] = [topics(record.topics), topics(rebuilt.topics)];
  return [
    ...differ('friendship', record.friendship, rebuilt.friendship, ['score', 'level', 'streakDay', 'lastInteraction']),
    ...[...new Set([...before.keys(), ...after.keys()])].flatMap((topicId) =>
      differ(`topic ${topicId}`, before.get(topicId) ?? null, after.get(topicId) ?? null, [
        ...(['score', 'turns', 'level', 'lastDate'] as const),
      ]),
    ),
  ];
}

function differ<T extends object>(
  what: string,
  is: T | null,
  shouldBe: T | null,
  fields: readonly (keyof T & string)[],
) {
  if (is === null || shouldBe === null)
    return is === shouldBe
      ? []
      : [{ what, is: is === null ? 'not there' : 'there', shouldBe: shouldBe === null ? 'not there' : 'there' }];
  return fields
    .filter((field) => JSON.stringify(is[field]) !== JSON.stringify(shouldBe[field]))
    .map((field) => ({ what: `${what} ${field}`, is: is[field], shouldBe: shouldBe[field] }));
}
