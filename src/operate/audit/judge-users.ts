import { levelOf, unitsPerPoint } from '../../event/friendship.ts';
import { boundsOf } from '../../event/ledger.ts';
import type { Change, Removed, UserPage } from './ports.ts';
import { replayBounds } from './replay-bounds.ts';

type UserViolation = {
  readonly rule: 'result' | 'friendship' | 'topic';
  readonly userId: string;
  readonly topicId?: string;
  /** The stored value and the expected one. */
  readonly detail: string;
};

type Bounds = { readonly low: number; readonly high: number };

/**
 * Checks each user's friendship and topics against the sums of their processed events, and what the ledger has of
 * removed ones: score with its floor, level, last date, turns. (Streaks are not checked: they depend on the order in
 * which events came, which is not stored.)
 */
export function judgeUsers(page: UserPage): UserViolation[] {
  const violations: UserViolation[] = [];
  const sums = Map.groupBy(page.sums, (s) => s.userId);
  const changesOf = Map.groupBy(page.changes, (c) => c.userId);
  const friendships = new Map(page.friendships.map((f) => [f.userId, f]));
  const topics = new Map(page.topics.map((t) => [key(t.userId, t.topicId), t]));
  const ledgerOf = Map.groupBy(page.ledger, (line) => line.userId);

  for (const userId of new Set([...sums.keys(), ...friendships.keys(), ...ledgerOf.keys()])) {
    const own = sums.get(userId) ?? [];
    const report = (rule: UserViolation['rule'], detail: string, topicId?: string) =>
      violations.push({ rule, userId, detail, ...(topicId !== undefined && { topicId }) });
    const withoutResult = total(own, (s) => s.withoutResult);
    if (withoutResult > 0) report('result', `${withoutResult} PROCESSED events have no result`);
    const lines = new Map((ledgerOf.get(userId) ?? []).map((line) => [line.topicId, line]));
    const removed = lines.get(null) ?? null;
    const hasFallen = removed !== null && removed.change !== removed.gains;
    const changes = changesOf.get(userId) ?? (hasFallen ? [] : null);

    const held = friendships.get(userId);
    if (held === undefined) {
      const events = total(own, (s) => s.events) + (removed?.events ?? 0);
      report('friendship', `${events} processed events and no friendship row`);
    } else {
      const expected = expectedScore(
        total(own, (s) => s.change),
        changes,
        removed,
      );
      if (isOutside(held.score, expected))
        report('friendship', `score ${points(held.score)}, the events come to ${shown(expected)}`);
      if (held.level !== levelOf(held.score / unitsPerPoint))
        report('friendship', `level ${held.level} at score ${points(held.score)}`);
      const last = latest([...own.map((s) => s.lastEnd), removed?.lastEnd]);
      if (held.lastInteraction?.getTime() !== last?.getTime()) {
        report('friendship', `last interaction ${time(held.lastInteraction)}, the latest event ended ${time(last)}`);
      }
    }

    const sumOf = new Map(own.map((s) => [s.topicId, s]));
    for (const topicId of new Set([...sumOf.keys(), ...lines.keys()])) {
      if (topicId === null) continue;
      const sum = sumOf.get(topicId) ?? null;
      const removedOfTopic = lines.get(topicId) ?? null;
      const topic = topics.get(key(userId, topicId));
      topics.delete(key(userId, topicId));
      if (topic === undefined) {
        const events = (sum?.events ?? 0) + (removedOfTopic?.events ?? 0);
        report('topic', `${events} processed events and no topic row`, topicId);
        continue;
      }
      const ofTopic = changes?.filter((c) => c.topicId === topicId) ?? null;
      const expected = expectedScore(sum?.change ?? 0, ofTopic, removedOfTopic);
      if (isOutside(topic.score, expected))
        report('topic', `score ${points(topic.score)}, the events come to ${shown(expected)}`, topicId);
      const turns = added(sum === null ? 0 : sum.turns, removedOfTopic === null ? 0 : removedOfTopic.turns);
      if (turns !== null && topic.turns !== turns)
        report('topic', `turns ${topic.turns}, the events come to ${turns}`, topicId);
      const last = latest([sum?.lastEnd, removedOfTopic?.lastEnd]);
      if (topic.lastDate.getTime() !== last?.getTime()) {
        report('topic', `last date ${time(topic.lastDate)}, the latest event ended ${time(last)}`, topicId);
      }
    }
  }
  for (const { userId, topicId } of topics.values()) {
    violations.push({ rule: 'topic', userId, topicId, detail: 'a topic row and no processed event' });
  }
  return violations;
}

/**
 * Removed events came first. Where that is not so, and some change was negative, the floor could have taken effect in
 * any order.
 *
 * @param sum  of the events that are there. @param changes  theirs, if any change of the user is negative.
 */
function expectedScore(sum: number, changes: readonly Change[] | null, removed: Removed | null): Bounds {
  if (changes === null) return exactly(sum + (removed?.change ?? 0));
  if (removed === null) return replayBounds(changes);
  const isMixed = changes.some((c) => c.processedAt <= removed.lastProcessedAt);
  if (!isMixed) return replayBounds(changes, boundsOf(removed));
  const gains = total(changes, (c) => Math.max(0, c.change)) + removed.gains;
  return { low: Math.max(0, sum + removed.change), high: gains };
}

function added(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function latest(dates: readonly (Date | undefined)[]): Date | null {
  return dates.reduce<Date | null>((last, d) => (d !== undefined && (last === null || d > last) ? d : last), null);
}

function total<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

function exactly(value: number): Bounds {
  return { low: Math.max(0, value), high: Math.max(0, value) };
}

function isOutside(value: number, { low, high }: Bounds): boolean {
  return value < low || value > high;
}

function points(value: number): string {
  return String(value / unitsPerPoint);
}

function shown({ low, high }: Bounds): string {
  return low === high ? points(low) : `${points(low)} to ${points(high)}`;
}

function time(date: Date | null): string {
  return date?.toISOString() ?? 'none';
}

function key(userId: string, topicId: string): string {
  return JSON.stringify([userId, topicId]);
}
