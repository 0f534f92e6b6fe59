import {
  type Friendship,
  type FriendshipLevel,
  friendshipLevels,
  levelOf,
  type TopicMetrics,
  unitsPerPoint,
} from '../event/friendship.ts';

/** What one processed event adds to its user and topic. */
export type FriendshipChange = {
  readonly change: number;
  readonly totalTurns: number;
  readonly endTime: Date;
};

export function newFriendship(userId: string): Friendship {
  return { userId, score: 0, level: 'PHASE1_STRANGER', streakDay: 0, lastInteraction: null };
}

/**
 * The friendship after one more event.
 *
 * @param calendarDay  maps a time to the number of its calendar day; consecutive days differ by 1.
 */
export function addToFriendship(
  before: Friendship,
  event: FriendshipChange,
  calendarDay: (time: Date) => number,
): Friendship {
  const score = add(before.score, event.change);
  const last = before.lastInteraction;
  // An event that ended before the last interaction changes neither its date nor the streak.
  const isOlder = last !== null && event.endTime < last;
  return {
    userId: before.userId,
    score,
    level: levelOf(score),
    streakDay: isOlder ? before.streakDay : nextStreak(before, event.endTime, calendarDay),
    lastInteraction: isOlder ? last : event.endTime,
  };
}

/** The topic after one more event. `userLevel` is the user's level after that event. */
export function addToTopic(before: TopicMetrics, event: FriendshipChange, userLevel: FriendshipLevel): TopicMetrics {
  const score = add(before.score, event.change);
  return {
    userId: before.userId,
    topicId: before.topicId,
    score,
    turns: before.turns + event.totalTurns,
    level: topicLevel(score, userLevel, before.level),
    lastDate: event.endTime > before.lastDate ? event.endTime : before.lastDate,
  };
}

function topicLevel(score: number, userLevel: FriendshipLevel, asItWas: FriendshipLevel): FriendshipLevel {
  const rank = friendshipLevels.indexOf(userLevel);
  if (score >= 150 && rank >= 2) return 'PHASE3_FRIEND';
  if (score >= 50 && rank >= 1) return 'PHASE2_ACQUAINTANCE';
  if (score < 50) return 'PHASE1_STRANGER';
  return asItWas;
}

function nextStreak(before: Friendship, endTime: Date, calendarDay: (time: Date) => number): number {
  if (before.lastInteraction === null) return 1;
  const days = calendarDay(endTime) - calendarDay(before.lastInteraction);
  if (days === 0) return before.streakDay;
  return days === 1 ? before.streakDay + 1 : 1;
}

function add(a: number, b: number): number {
  return Math.max(0, Math.round(a * unitsPerPoint) + Math.round(b * unitsPerPoint)) / unitsPerPoint;
}

/** Numbers the calendar days of a time zone. Building the formatter is expensive, so it is made only once. */
export function createCalendar(timeZone: string): (time: Date) => number {
  // This locale writes 2026-01-31; splitting that is cheaper than `formatToParts`.
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    calendar: 'iso8601',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  });
  return (time) => {
    const [year = 0, month = 1, day = 1] = format.format(time).split('-').map(Number);
    return Date.UTC(year, month - 1, day) / 86_400_000;
  };
}
