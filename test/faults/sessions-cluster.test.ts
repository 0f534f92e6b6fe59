import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Redis } from '../../scripts/servers/index.ts';
import { call } from '../support/client.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { proveTalk, startTalk } from '../support/talk.ts';
import { untilSaid } from './catalogue/fault.ts';
import { untilSynced } from './catalogue/sessions.ts';

let fleet: Fleet;
let redis: Redis;

beforeAll(async () => {
  const env = { SYNC_INTERVAL: '1', SESSION_MESSAGES_PER_MINUTE: '0', USER_MESSAGES_PER_MINUTE: '100' };
  fleet = await startFleet({ workers: 1, isCluster: true, env });
  redis = fleet.servers.redis as Redis;
});
afterAll(async () => {
  expect((await fleet.stop()).codes).toEqual([0, 0]);
});

test('live sessions in a cluster: every step stays in one slot, and nothing is lost when it goes away', async () => {
  // Nobody may come to an end while Redis is away: an end has to wait for it, and then all would.
  const talk = startTalk({ url: fleet.url, stream: 'cluster', people: 6, length: 60, pauseMs: 600 });
  await talk.more(30);
  await untilSaid(fleet, 'Redis is away', () => redis.kill());
  await talk.more(20);
  await untilSaid(fleet, 'Redis is back', () => redis.start());
  await talk.more(20);
  await talk.stop();
  await untilSynced(fleet);
  const { said, ...proof } = await proveTalk(fleet, talk);
  expect(said).toBeGreaterThan(70);
  expect(proof).toEqual({ lost: [], double: [], disordered: [], miscounted: [], wrongEvents: [] });
  expect(talk.strange.filter(({ code }) => code !== 'too_many_messages')).toEqual([]);
  expect(fleet.said('CROSSSLOT')).toBe(0);
});

test('what a user may send in a minute counts in all of his sessions', async () => {
  const head = { user_id: 'user_limited', bot_type: 'TALK', bot_id: 'b', bot_name: 'B' };
  for (const session_id of ['limited-1', 'limited-2'])
    expect((await call(fleet.url, 'POST', '/v1/sessions', { session_id, ...head })).status).toBe(201);
  const messages = Array.from({ length: 100 }, () => ({ role: 'user', text: 'x' }));
  expect((await call(fleet.url, 'POST', '/v1/sessions/limited-1/messages', { messages })).status).toBe(202);
  const more = await call(fleet.url, 'POST', '/v1/sessions/limited-2/messages', { role: 'user', text: 'x' });
  expect(more).toMatchObject({ status: 429, body: { code: 'too_many_messages' } });
  expect((await call(fleet.url, 'POST', '/v1/sessions/limited-1/end')).status).toBe(202);
});
