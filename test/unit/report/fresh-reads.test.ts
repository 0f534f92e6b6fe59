import { expect, test } from 'vitest';
import { freshReads } from '../../../src/report/index.ts';
import type { EventView, FriendshipView } from '../../../src/report/ports.ts';

const event = (id: string, status: string, from: string) =>
  ({ conversation_id: id, user_id: `user of ${id}`, status, worker: from }) as EventView;
const friendship = (score: number) => ({
  view: { status: { friendship_score: score }, topics: [] } as unknown as FriendshipView,
  isSettled: true,
});

function twoServers() {
  const asked: string[] = [];
  const there = { primary: new Map<string, EventView>(), replica: new Map<string, EventView>() };
  const state = { isFresh: true };
  const server = (name: 'primary' | 'replica', score: number | null) => {
    const find = async (ids: readonly string[]) => {
      asked.push(`${name} ${ids.join(' ')}`);
      return ids.flatMap((id) => there[name].get(id) ?? []);
    };
    return {
      findEvents: find,
      findClosed: find,
      findFriendship: async () => {
        asked.push(`${name} friendship`);
        return score === null ? null : friendship(score);
      },
    };
  };
  const reads = freshReads({
    primary: server('primary', 2),
    replica: server('replica', 1),
    isFresh: () => state.isFresh,
    mostBehindMs: 60_000,
  });
  return { reads, asked, there, state };
}

test('of the replica only what is final is believed', async () => {
  const { reads, asked, there } = twoServers();
  for (const id of ['done', 'open', 'failed']) there.primary.set(id, event(id, 'PROCESSED', 'primary'));
  there.replica.set('done', event('done', 'PROCESSED', 'replica'));
  there.replica.set('open', event('open', 'PENDING', 'replica'));
  there.replica.set('failed', event('failed', 'FAILED', 'replica'));
  const found = await reads.findEvents(['done', 'open', 'failed', 'nowhere']);
  expect(found.map(({ conversation_id, worker }) => [conversation_id, worker])).toEqual([
    ['done', 'replica'],
    ['open', 'primary'],
    ['failed', 'primary'],
  ]);
  expect(asked).toEqual(['replica done open failed nowhere', 'primary open failed nowhere']);
});

test.each(['findEvents', 'findClosed', 'findNewest'] as const)(
  'whoever learns from the primary (%s) that it is PROCESSED finds it in the score, and nobody else is read there',
  async (how) => {
    const { reads, asked, there } = twoServers();
    there.primary.set('c', event('c', 'PROCESSED', 'primary'));
    await reads[how](['c']);
    expect(await reads.findFriendship('user of c', null)).toEqual(friendship(2));
    expect(await reads.findFriendship('another', null)).toEqual(friendship(1));
    expect(asked.slice(-2)).toEqual(['primary friendship', 'replica friendship']);
  },
);

test('a replica that is not fresh is not asked', async () => {
  const { reads, asked, state } = twoServers();
  state.isFresh = false;
  await reads.findEvents(['c']);
  await reads.findFriendship('u', null);
  expect(asked).toEqual(['primary c', 'primary friendship']);
});
