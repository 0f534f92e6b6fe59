import type { EventId } from '../event/event.ts';
import type { Friendship, TopicMetrics } from '../event/friendship.ts';
import type { AttemptResult, Owner, Settled } from '../event/outcome.ts';
import { type Decision, decide } from './decide.ts';
import { addToFriendship, addToTopic, type FriendshipChange, newFriendship } from './friendship.ts';
import type { EventWrite, Held, SettleTransaction, TopicKey } from './ports.ts';

export type SettlePolicy = {
  readonly maxAttempts: number;
  /** Delay before the next attempt, milliseconds. */
  readonly delayMs: (attempt: number) => number;
  readonly calendarDay: (time: Date) => number;
};

type Processing = {
  readonly eventId: EventId;
  readonly owner: Owner;
  readonly outcome: Extract<Decision, { kind: 'process' }>['outcome'];
};

/**
 * Settles a batch inside `tx`. The row lock makes "is it still open?" and "close it" one atomic step, so that upstream
 * duplicates are harmless; an event that is in one batch twice also counts once.
 *
 * @returns an answer for each attempt, in order; valid only once the transaction has committed.
 */
export async function applyBatch(
  tx: SettleTransaction,
  attempts: readonly AttemptResult[],
  policy: SettlePolicy,
): Promise<Settled[]> {
  const owners = ownersOf(attempts.flatMap(({ owner, outcome }) => (outcome.kind === 'scored' ? [owner] : [])));
  const locked = await tx.lock([...new Set(attempts.map((a) => a.eventId))], owners);
  const byId = new Map(locked.events.map((r) => [r.eventId, r]));
  const settledHere = new Set<EventId>();
  const processing: Processing[] = [];
  const writes: EventWrite[] = [];

  const settled: Settled[] = [];
  for (const attempt of attempts) {
    const { eventId } = attempt;
    const row = byId.get(eventId);
    if (row === undefined) {
      settled.push({ verb: 'dead-letter', as: 'unknown-event' });
      continue;
    }
    const decision: Decision = settledHere.has(eventId) ? { kind: 'duplicate' } : decide(row, attempt, policy);
    settled.push(settledBy(decision, attempt));
    settledHere.add(eventId);
    if (decision.kind === 'process') processing.push({ eventId, owner: attempt.owner, outcome: decision.outcome });
    if (decision.kind === 'retry' || decision.kind === 'failed') writes.push({ ...decision, eventId });
  }

  const held = await createMissing(tx, processing, locked);
  const sums = addUp(processing, held, policy);
  tx.write({ ...sums, events: [...writes, ...sums.events] });
  return settled;
}

/** What the delivery gets; valid once the transaction has committed. */
function settledBy(decision: Decision, { outcome }: AttemptResult): Settled {
  switch (decision.kind) {
    case 'process':
      return { verb: 'ack', as: 'processed' };
    case 'retry':
      return { verb: 'ack', as: 'retry', code: decision.code };
    case 'duplicate':
      return { verb: 'ack', as: 'duplicate' };
    case 'failed':
      return { verb: 'dead-letter', as: 'failed', code: decision.code };
    case 'dead-letter-again':
      return { verb: 'dead-letter', as: 'failed', code: outcome.kind === 'failed' ? outcome.code : null };
  }
}

type Owners = { readonly userIds: readonly string[]; readonly topics: readonly TopicKey[] };

function ownersOf(owners: readonly Owner[]): Owners {
  const topics = new Map(
    owners.flatMap(({ userId, topicId }) =>
      topicId === null ? [] : [[topicKey(userId, topicId), { userId, topicId }] as const],
    ),
  );
  return { userIds: [...new Set(owners.map((o) => o.userId))], topics: [...topics.values()] };
}

/** Creates the rows of first-time users, which could not be locked because they did not exist. */
async function createMissing(tx: SettleTransaction, processing: readonly Processing[], held: Held): Promise<Held> {
  const users = new Set(held.friendships.map((f) => f.userId));
  const missing = processing.flatMap(({ owner }) => (users.has(owner.userId) ? [] : [owner]));
  if (missing.length === 0) return held;
  const { userIds, topics } = ownersOf(missing);
  const created = await tx.lockUsers(userIds, topics);
  const isOld = ({ userId }: TopicMetrics) => users.has(userId);
  return {
    friendships: [...held.friendships, ...created.friendships],
    topics: [...held.topics.filter(isOld), ...created.topics],
  };
}

/**
 * Adds the processed events to their users and topics, in the order in which the conversations ended, and returns the
 * rows to write.
 */
function addUp(
  processing: readonly Processing[],
  held: Held,
  policy: SettlePolicy,
): { friendships: Friendship[]; topics: TopicMetrics[]; events: EventWrite[] } {
  const friendshipsBefore = new Map(held.friendships.map((f) => [f.userId, f]));
  const topicsBefore = new Map(held.topics.map((t) => [topicKey(t.userId, t.topicId), t]));
  const friendships = new Map<string, Friendship>();
  const topics = new Map<string, TopicMetrics>();

  const inOrder = processing.toSorted((a, b) => a.owner.endTime.getTime() - b.owner.endTime.getTime());
  const events = inOrder.map(({ eventId, owner, outcome }): EventWrite => {
    const { userId, topicId, endTime } = owner;
    const event: FriendshipChange = { change: outcome.change, totalTurns: outcome.totalTurns, endTime };
    const before = friendships.get(userId) ?? friendshipsBefore.get(userId) ?? newFriendship(userId);
    const friendship = addToFriendship(before, event, policy.calendarDay);
    friendships.set(userId, friendship);
    if (topicId !== null) {
      const key = topicKey(userId, topicId);
      const topic = topics.get(key) ?? topicsBefore.get(key) ?? newTopic(userId, topicId, endTime);
      topics.set(key, addToTopic(topic, event, friendship.level));
    }
    return {
      kind: 'processed',
      eventId,
      change: outcome.change,
      level: friendship.level,
      levelBefore: before.level,
      detailsJson: outcome.detailsJson,
    };
  });

  return { friendships: [...friendships.values()], topics: [...topics.values()], events };
}

function newTopic(userId: string, topicId: string, lastDate: Date): TopicMetrics {
  return { userId, topicId, score: 0, turns: 0, level: 'PHASE1_STRANGER', lastDate };
}

function topicKey(userId: string, topicId: string): string {
  return JSON.stringify([userId, topicId]);
}
