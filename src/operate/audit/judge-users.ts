import { levelOf, unitsPerPoint } from '../../event/friendship.ts';
import type { UserPage } from './ports.ts';
import { replayBounds } from './replay-bounds.ts';

type UserViolation = {
  readonly rule: 'result' | 'friendship' | 'topic';
  readonly userId: string;
  readonly topicId?: string;
  /** The stored value and the expected one. */
  readonly detail: string;
};

/**
 * Checks each user's friendship and topics against the sums of their processed events: score with its floor, level,
 * last date, turns. (Streaks are not checked: they depend on the order in which events came, which is not stored.)
 */
export function judgeUsers(page: UserPage): UserViolation[] {
  const violations: UserViolation[] = [];
  const sums = Map.groupBy(page.sums, (s) => s.userId);
  const changesOf = Map.groupBy(page.changes, (c) => c.userId);
  const friendships = new Map(page.friendships.map((f) => [f.userId, f]));
  const topics = new Map(page.topics.map((t) => [key(t.userId, t.topicId), t]));

  for (const userId of new Set([...sums.keys(), ...friendships.keys()])) {
    const own = sums.get(userId) ?? [];
    const report = (rule: UserViolation['rule'], detail: string, topicId?: string) =>
      violations.push({ rule, userId, detail, ...(topicId !== undefined && { topicId }) });
    const withoutResult = total(own, (s) => s.withoutResult);
    if (withoutResult > 0) report('result', `${withoutResult} PROCESSED events have no result`);
    const changes = changesOf.get(userId) ?? null;

    const held = friendships.get(userId);
    if (held === undefined) {
      report('friendship', `${total(own, (s) => s.events)} processed events and no friendship row`);
    } else {
      const expected = changes ? replayBounds(changes) : exactly(total(own, (s) => s.change));
      if (isOutside(held.score, expected))
        report('friendship', `score ${points(held.score)}, the events come to ${shown(expected)}`);
      if (held.level !== levelOf(held.score / unitsPerPoint))
        report('friendship', `level ${held.level} at score ${points(held.score)}`);
      const last = own.reduce<Date | null>(
        (latest, s) => (latest === null || s.lastEnd > latest ? s.lastEnd : latest),
        null,
      );
      if (held.lastInteraction?.getTime() !== last?.getTime()) {
        report('friendship', `last interaction ${time(held.lastInteraction)}, the latest event ended ${time(last)}`);
      }
    }

    for (const sum of own) {
      const { topicId } = sum;
      if (topicId === null) continue;
      const topic = topics.get(key(userId, topicId));
      topics.delete(key(userId, topicId));
      if (topic === undefined) {
        report('topic', `${sum.events} processed events and no topic row`, topicId);
        continue;
      }
      const expected =
        changes && sum.hasNegative ? replayBounds(changes.filter((c) => c.topicId === topicId)) : exactly(sum.change);
      if (isOutside(topic.score, expected))
        report('topic', `score ${points(topic.score)}, the events come to ${shown(expected)}`, topicId);
      if (sum.turns !== null && topic.turns !== sum.turns)
        report('topic', `turns ${topic.turns}, the events come to ${sum.turns}`, topicId);
      if (topic.lastDate.getTime() !== sum.lastEnd.getTime()) {
        report('topic', `last date ${time(topic.lastDate)}, the latest event ended ${time(sum.lastEnd)}`, topicId);
      }
    }
  }
  for (const { userId, topicId } of topics.values()) {
    violations.push({ rule: 'topic', userId, topicId, detail: 'a topic row and no processed event' });
  }
  return violations;
}

function total<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

function exactly(value: number): { low: number; high: number } {
  return { low: Math.max(0, value), high: Math.max(0, value) };
}

function isOutside(value: number, { low, high }: { low: number; high: number }): boolean {
  return value < low || value > high;
}

function points(value: number): string {
  return String(value / unitsPerPoint);
}

function shown({ low, high }: { low: number; high: number }): string {
  return low === high ? points(low) : `${points(low)} to ${points(high)}`;
}

function time(date: Date | null): string {
  return date?.toISOString() ?? 'none';
}

function key(userId: string, topicId: string): string {
  return JSON.stringify([userId, topicId]);
}
