import type { EventId } from '../event/event.ts';
import type { Friendship, TopicMetrics } from '../event/friendship.ts';
import type { AttemptResult, Settled } from '../event/outcome.ts';
import type { EventWrite, LockedEvent, SettleTransaction } from '../event/settlement.ts';
import { type Decision, decide } from './decide.ts';
import { addToFriendship, addToTopic, type FriendshipChange, newFriendship } from './friendship.ts';

export type SettlePolicy = {
  readonly maxAttempts: number;
  /** Milliseconds before the attempt after this one. */
  readonly delayMs: (attempt: number) => number;
  readonly calendarDay: (time: Date) => number;
};

type Processing = { readonly row: LockedEvent; readonly outcome: Extract<Decision, { kind: 'process' }>['outcome'] };

/**
 * Settles a batch inside `tx`. The row lock makes "is it still open" and "close it" one step, which is what makes every
 * duplicate upstream harmless; an event that is twice in one batch counts once too.
 *
 * @returns an answer for each attempt, in order; valid only once the transaction has committed.
 */
export async function applyBatch(tx: SettleTransaction, attempts: readonly AttemptResult[], policy: SettlePolicy): Promise<Settled[]> {
  const rows = await tx.lockEvents([...new Set(attempts.map((a) => a.eventId))]);
  const byId = new Map(rows.map((r) => [r.eventId, r]));
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
    settled.push(answers[decision.kind]);
    settledHere.add(eventId);
    if (decision.kind === 'process') processing.push({ row, outcome: decision.outcome });
    if (decision.kind === 'retry' || decision.kind === 'failed') writes.push({ ...decision, eventId });
  }

  const sums = processing.length > 0 ? await addUp(tx, processing, policy) : { friendships: [], topics: [], events: [] };
  tx.write({ ...sums, events: [...writes, ...sums.events] });
  return settled;
}

const answers = {
  process: { verb: 'ack', as: 'processed' },
  retry: { verb: 'ack', as: 'retry' },
  duplicate: { verb: 'ack', as: 'duplicate' },
  failed: { verb: 'dead-letter', as: 'failed' },
  'dead-letter-again': { verb: 'dead-letter', as: 'failed' },
} as const satisfies Record<Decision['kind'], Settled>;

/** Adds the processed events to their users and topics, in the order they came, and says what is to be written of each. */
async function addUp(
  tx: SettleTransaction,
  processing: readonly Processing[],
  policy: SettlePolicy,
): Promise<{ friendships: Friendship[]; topics: TopicMetrics[]; events: EventWrite[] }> {
  const topicKeys = new Map(
    processing.flatMap(({ row }) =>
      row.agentTag === null ? [] : [[topicKey(row.userId, row.agentTag), { userId: row.userId, topicId: row.agentTag }] as const],
    ),
  );
  const held = await tx.lockFriendships([...new Set(processing.map((p) => p.row.userId))], [...topicKeys.values()]);
  const friendships = new Map(held.friendships.map((f) => [f.userId, f]));
  const topics = new Map(held.topics.map((t) => [topicKey(t.userId, t.topicId), t]));

  const events = processing.map(({ row, outcome }): EventWrite => {
    const event: FriendshipChange = { change: outcome.change, totalTurns: outcome.totalTurns, endTime: row.endTime };
    const friendship = addToFriendship(friendships.get(row.userId) ?? newFriendship(row.userId), event, policy.calendarDay);
    friendships.set(row.userId, friendship);
    if (row.agentTag !== null) {
      const key = topicKey(row.userId, row.agentTag);
      topics.set(key, addToTopic(topics.get(key) ?? newTopic(row.userId, row.agentTag, row.endTime), event, friendship.level));
    }
    return { kind: 'processed', eventId: row.eventId, change: outcome.change, level: friendship.level, detailsJson: outcome.detailsJson };
  });

  return { friendships: [...friendships.values()], topics: [...topics.values()], events };
}

function newTopic(userId: string, topicId: string, lastDate: Date): TopicMetrics {
  return { userId, topicId, score: 0, turns: 0, level: 'PHASE1_STRANGER', lastDate };
}

function topicKey(userId: string, topicId: string): string {
  return JSON.stringify([userId, topicId]);
}
