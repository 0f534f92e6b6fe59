import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let workers: Member[];

beforeAll(async () => {
  const urls = { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') };
  space = await createNamespace(urls, {
    MESSAGE_CONCURRENCY_PER_WORKER: '32',
    SCORING_THREADS: '1',
    LOG_LEVEL: 'info',
  });
  api = await startMember('api', space.env);
  workers = await Promise.all([startMember('worker', space.env), startMember('worker', space.env)]);
});
afterAll(async () => {
  for (const member of [api, ...workers]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const processed = (n: number) =>
  vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: n }), {
    timeout: 50_000,
    interval: 100,
  });

test('100 clients that post one conversation at once make one row, one score, one event id', async () => {
  const body = conversation({ user_id: 'one_user' });
  const answers = await postAll(api.url, Array(100).fill(body), 100);
  expect(answers.map((a) => a.status)).toEqual(Array(100).fill(202));
  expect(new Set(answers.map((a) => a.body.event_id)).size).toBe(1);
  expect(answers.filter((a) => a.headers['idempotency-replayed'] === undefined)).toHaveLength(1);
  await processed(1);
  const { body: event } = await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`);
  const { body: friendship } = await call(api.url, 'GET', '/v1/users/one_user/friendship');
  expect(friendship.friendship_score).toBe(event.result.friendship_score_change);
  expect(friendship.friendship_score).toBeGreaterThan(0);
});

test('10,000 concurrent events of one user add up to exactly the sum of their changes', async () => {
  const bodies = Array.from({ length: 10_000 }, (_, i) =>
    conversation({
      user_id: 'popular',
      agent_tag: `topic_${i % 3}`,
      metadata: { user_initiated_questions: i % 7, session_emotion: 'neutral', new_memories_count: i % 5 },
    }),
  );
  const answers = await postAll(api.url, bodies, 100);
  expect(answers.every((a) => a.status === 202)).toBe(true);
  await processed(10_001);
  const expected = bodies.reduce((sum, _, i) => sum + 1 + 3 * (i % 7) + 5 * (i % 5), 0);
  const { body } = await call(api.url, 'GET', '/v1/users/popular/friendship');
  expect(body.friendship_score).toBe(expected);
  expect(body.friendship_level).toBe('PHASE3_FRIEND');
  expect(body.topics.reduce((sum: number, t: { score: number }) => sum + t.score, 0)).toBe(expected);
  expect(body.topics.reduce((sum: number, t: { turns: number }) => sum + t.turns, 0)).toBe(10_000);
  expect(await wrongSums(space.database)).toEqual([]);
});

test('a message published again fifty times by hand changes nothing', async () => {
  const broker = await openBroker(inject('rabbitmqUrl'));
  const body = conversation({ user_id: 'echoed' });
  const { body: accepted } = await post(api.url, body);
  await vi.waitFor(async () => expect((await call(api.url, 'GET', '/v1/users/echoed/friendship')).status).toBe(200), {
    timeout: 10_000,
  });
  const before = (await call(api.url, 'GET', '/v1/users/echoed/friendship')).body;
  const message = { ...body, event_id: accepted.event_id, metadata: { session_emotion: 'interesting' } };
  for (let i = 0; i < 50; i++) broker.publish(space.queue, message, { messageId: accepted.event_id });
  await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(0), { timeout: 10_000 });
  // An empty queue means the last one was delivered, not answered: one more event of the same user comes after them.
  const after = conversation({
    user_id: 'echoed',
    metadata: { user_initiated_questions: 0, session_emotion: 'neutral', new_memories_count: 0 },
  });
  await post(api.url, after);
  await vi.waitFor(
    async () =>
      expect((await call(api.url, 'GET', `/v1/conversations/${after.conversation_id}`)).body.status).toBe('PROCESSED'),
    {
      timeout: 10_000,
    },
  );
  expect((await call(api.url, 'GET', '/v1/users/echoed/friendship')).body.friendship_score).toBe(
    before.friendship_score + 1,
  );
  expect(await rows(space.database, 'SELECT 1 FROM conversation_events WHERE user_id = ?', ['echoed'])).toHaveLength(2);
  await broker.close();
});
