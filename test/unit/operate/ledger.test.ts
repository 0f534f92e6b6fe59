import { expect, test } from 'vitest';
import { levelOf } from '../../../src/event/friendship.ts';
import { addToLedger, type LedgerLine, type RemovedEvent } from '../../../src/event/ledger.ts';
import { judgeUsers } from '../../../src/operate/audit/judge-users.ts';
import type { UserPage } from '../../../src/operate/audit/ports.ts';

/** However events are removed, the audit agrees with the score that they led to, and with no other. */

type Event = RemovedEvent & { readonly topicId: string | null };

function randomly(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function history(random: () => number, { mayFall }: { mayFall: boolean }): Event[] {
  return Array.from({ length: 1 + Math.floor(random() * 30) }, (_, i) => ({
    change: Math.floor(random() * 200_000) - (mayFall ? 100_000 : 0),
    turns: 2,
    endTime: new Date(i * 1_000 + Math.floor(random() * 10_000)),
    processedAt: new Date(1_000_000 + i * 1_000),
    topicId: random() < 0.5 ? 'pets' : null,
  }));
}

/** What the tables have after `removed` went in pages of up to seven, in the given order. */
function tables(all: readonly Event[], removed: readonly Event[]): UserPage {
  const lines = new Map<string | null, LedgerLine>();
  for (let i = 0; i < removed.length; i += 7)
    for (const topicId of [null, 'pets']) {
      const page = removed.slice(i, i + 7).filter((e) => topicId === null || e.topicId === topicId);
      if (page.length > 0) lines.set(topicId, addToLedger(lines.get(topicId) ?? null, page));
    }
  const kept = all.filter((e) => !removed.includes(e));
  const scoreOf = (events: readonly Event[]) => events.reduce((score, e) => Math.max(0, score + e.change), 0);
  const last = (events: readonly Event[]) => new Date(Math.max(...events.map((e) => e.endTime.getTime())));
  const pets = all.filter((e) => e.topicId === 'pets');
  const score = scoreOf(all);
  return {
    changes: all.some((e) => e.change < 0) ? kept.map((e) => ({ userId: 'u', ...e })) : [],
    sums: [null, 'pets'].flatMap((topicId) => {
      const own = kept.filter((e) => e.topicId === topicId);
      if (own.length === 0) return [];
      const change = own.reduce((sum, e) => sum + e.change, 0);
      const turns = 2 * own.length;
      return [{ userId: 'u', topicId, events: own.length, withoutResult: 0, change, turns, lastEnd: last(own) }];
    }),
    ledger: [...lines].map(([topicId, line]) => ({ userId: 'u', topicId, ...line })),
    friendships: [{ userId: 'u', score, level: levelOf(score / 10_000), lastInteraction: last(all) }],
    topics:
      pets.length === 0
        ? []
        : [{ userId: 'u', topicId: 'pets', score: scoreOf(pets), turns: 2 * pets.length, lastDate: last(pets) }],
  };
}

test.each([false, true])('the oldest are removed (changes below zero: %s): exact', (mayFall) => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomly(seed);
    const all = history(random, { mayFall });
    const page = tables(all, all.slice(0, Math.floor(random() * (all.length + 1))));
    expect(judgeUsers(page), `seed ${seed}`).toEqual([]);
    const wrong = { ...page, friendships: page.friendships.map((f) => ({ ...f, score: f.score + 1 })) };
    expect(judgeUsers(wrong), `seed ${seed}`).toContainEqual(expect.objectContaining({ rule: 'friendship' }));
  }
});

test('removed in any order: never a false alarm', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomly(seed);
    const all = history(random, { mayFall: true });
    const removed = all.filter(() => random() < 0.5).sort(() => random() - 0.5);
    expect(judgeUsers(tables(all, removed)), `seed ${seed}`).toEqual([]);
  }
});

test('turns of a custom scorer are not known, and not judged', () => {
  const event = { change: 1, turns: null, endTime: new Date(1), processedAt: new Date(1) };
  expect(addToLedger(null, [event]).turns).toBeNull();
});

test('a ledger without a friendship is a violation', () => {
  const page = tables([], []);
  const line = addToLedger(null, [{ change: 1, turns: 0, endTime: new Date(1), processedAt: new Date(1) }]);
  expect(judgeUsers({ ...page, friendships: [], ledger: [{ userId: 'u', topicId: null, ...line }] })).toEqual([
    expect.objectContaining({ rule: 'friendship', userId: 'u' }),
  ]);
});
