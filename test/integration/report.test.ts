import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, postAll } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

test('Prefer: wait answers once the event is closed, or with the current status when the time is up', async () => {
  const body = conversation();
  await post(api.url, body);
  const path = `/v1/conversations/${body.conversation_id}`;
  const open = await call(api.url, 'GET', path, undefined, { prefer: 'respond-async, wait=1' });
  expect(open).toMatchObject({ status: 200, body: { status: 'PENDING', result: null } });
  expect(open.headers['preference-applied']).toBe('wait=1');

  const waiting = call(api.url, 'GET', path, undefined, { prefer: 'wait=30' });
  const worker = await startMember('worker', space.env);
  expect(await waiting).toMatchObject({
    status: 200,
    body: { status: 'PROCESSED', result: { friendship_score_change: expect.any(Number) } },
  });
  expect(await worker.stop()).toBe(0);
});

test('1,500 callers whose conversations are closed at the same moment are all answered', async () => {
  const bodies = Array.from({ length: 300 }, () => conversation());
  await postAll(api.url, bodies);
  const crowd = new Agent({ connections: 1_500, headersTimeout: 60_000 });
  const waiting = Array.from({ length: 1_500 }, async (_, i) => {
    const url = new URL(`/v1/conversations/${bodies[i % bodies.length]?.conversation_id}`, api.url);
    const answer = await request(url, { dispatcher: crowd, headers: { prefer: 'wait=30' } });
    return { status: answer.statusCode, as: ((await answer.body.json()) as { status: string }).status };
  });
  await vi.waitFor(
    async () => {
      const { queues } = (await call(api.url, 'GET', '/health/detailed')).body;
      expect(queues.find((queue: { name: string }) => queue.name === 'status_waits').held).toBe(1_500);
    },
    { timeout: 30_000, interval: 50 },
  );
  await space.database.query(
    "UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL WHERE status = 'PENDING'",
  );
  expect(new Set((await Promise.all(waiting)).map(({ status, as }) => `${status} ${as}`))).toEqual(
    new Set(['200 SKIPPED']),
  );
  await crowd.close();
});

test('a draining API answers callers that wait for a status', async () => {
  // If the drain did not end the wait, the wait would be cut off before its 30 s are over.
  const draining = await startMember('api', { ...space.env, DRAIN_MS: '10000' });
  const body = conversation();
  await post(draining.url, body);
  const answer = call(draining.url, 'GET', `/v1/conversations/${body.conversation_id}`, undefined, {
    prefer: 'wait=30',
  });
  // All who ask within a second get the same answer.
  await vi.waitFor(
    async () =>
      expect((await call(draining.url, 'GET', '/health/detailed')).body.queues).toContainEqual(
        expect.objectContaining({ name: 'status_waits', held: 1 }),
      ),
    { timeout: 20_000, interval: 100 },
  );
  const stopped = draining.stop();
  expect(await answer).toMatchObject({ status: 200, body: { status: 'PENDING' } });
  expect(await stopped).toBe(0);
});

test('an unchanged answer is a 304; a changed one is not', async () => {
  const body = conversation();
  await post(api.url, body);
  const path = `/v1/conversations/${body.conversation_id}`;
  const first = await call(api.url, 'GET', path);
  const etag = String(first.headers['etag']);
  expect(await call(api.url, 'GET', path, undefined, { 'if-none-match': etag })).toMatchObject({
    status: 304,
    body: '',
  });
  await space.database.query('UPDATE conversation_events SET attempt_count = 1 WHERE conversation_id = ?', [
    body.conversation_id,
  ]);
  expect((await call(api.url, 'GET', path, undefined, { 'if-none-match': etag })).status).toBe(200);
});

test('log and metadata are in the answer only on request, with the log normalised', async () => {
  const body = conversation({
    metadata: { lesson: 7 },
    start_time: '2026-01-01T00:00:00Z',
    end_time: '2026-01-01T00:20:00Z',
    conversation_log: [
      { character: 'BOT', content: '' },
      { character: 'USER', content: 'hi' },
      { speaker: 'user', text: ' ' },
      { speaker: 'Pika', text: '<happy/> hello ' },
    ],
  });
  await post(api.url, body);
  const path = `/v1/conversations/${body.conversation_id}`;
  const bare = (await call(api.url, 'GET', path)).body;
  expect(bare.conversation_log).toBeUndefined();
  expect(bare.metadata).toBeUndefined();
  expect((await call(api.url, 'GET', `${path}?include=log,metadata`)).body).toMatchObject({
    conversation_log: [{ text: 'hi' }, { text: '<happy/> hello' }],
    metadata: { lesson: 7 },
  });
  expect((await call(api.url, 'GET', `${path}?include=log`)).body.conversation_log).toEqual([
    { speaker: 'user', turn_id: 1, text: 'hi', timestamp: '2026-01-01T00:05:00.000Z' },
    { speaker: 'pika', turn_id: 2, text: '<happy/> hello', timestamp: '2026-01-01T00:15:00.000Z' },
  ]);
});

test.each([
  ['/v1/conversations/any?include=nope', '?include'],
  ['/v1/conversations/any?include=log&include=log', '?include'],
  ['/v1/conversations/any?inclde=log', '?inclde'],
  ['/v1/conversations?state=FAILED', '?state'],
])('an unknown parameter is a 422 that names it: %s', async (path, pointer) => {
  expect(await call(api.url, 'GET', path)).toMatchObject({
    status: 422,
    body: { code: 'invalid_query', errors: [{ pointer }] },
  });
});

test.each(['/v1/conversations?user_id=%ff', '/v1/conversations/%ff'])(
  'a URL that is not UTF-8 is a 400: %s',
  async (path) => {
    expect(await call(api.url, 'GET', path)).toMatchObject({ status: 400, body: { code: 'bad_path' } });
  },
);

test('answers end with a newline, including problem documents', async () => {
  for (const path of ['/healthz', '/v1/conversations', '/v1/conversations/none']) {
    expect((await (await fetch(`${api.url}${path}`)).text()).at(-1)).toBe('\n');
  }
});

test('unknown conversations and users are 404', async () => {
  expect(await call(api.url, 'GET', '/v1/conversations/none')).toMatchObject({
    status: 404,
    body: { code: 'conversation_not_found' },
  });
  expect(await call(api.url, 'GET', '/v1/users/nobody/friendship')).toMatchObject({
    status: 404,
    body: { code: 'user_not_found' },
  });
});

test('the list goes from new to old, page by page, each event once', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 25; i++) {
    const body = conversation({ user_id: 'listed' });
    await post(api.url, body);
    ids.unshift(body.conversation_id);
  }
  await postAll(
    api.url,
    Array.from({ length: 20 }, () => conversation({ user_id: 'other' })),
  );
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ user_id: 'listed', status: 'PENDING', limit: '10', ...(cursor && { cursor }) });
    const { status, body } = await call(api.url, 'GET', `/v1/conversations?${query}`);
    expect(status).toBe(200);
    seen.push(...body.conversations.map((c: { conversation_id: string }) => c.conversation_id));
    cursor = body.next_cursor;
  } while (cursor !== null);
  expect(seen).toEqual(ids);
});

test.each([['status=BROKEN'], ['limit=0'], ['limit=201'], ['limit=x'], ['cursor=zzz'], ['user_id=']])(
  '422: ?%s',
  async (query) => {
    const answer = await call(api.url, 'GET', `/v1/conversations?${query}`);
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_query' } });
    expect(answer.body.errors).toHaveLength(1);
  },
);

test('a dry run scores and stores nothing', async () => {
  const body = conversation({
    conversation_log: Array.from({ length: 6 }, (_, i) => ({ speaker: i % 2 ? 'user' : 'pika', text: 'words' })),
    metadata: { user_initiated_questions: 1, session_emotion: 'interesting', new_memories_count: 7 },
  });
  const answer = await call(api.url, 'POST', '/v1/conversations/score', body);
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    total_turns: 3,
    user_initiated_questions: 1,
    session_emotion: 'interesting',
    emotion_reading: { by: 'caller', confidence: null, weights: [] },
    new_memories_count: 7,
    base_score: 3,
    engagement_bonus: 3,
    emotion_bonus: 15,
    memory_bonus: 35,
    total_score_before_clamp: 56,
    final_score_change: 56,
    scorer: 'friendship@2',
  });
  expect((await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`)).status).toBe(404);
  expect((await call(api.url, 'POST', '/v1/conversations/score', { ...body, user_id: '' })).status).toBe(422);
});

test('alive and ready', async () => {
  expect(await call(api.url, 'GET', '/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } });
  await vi.waitFor(async () =>
    expect(await call(api.url, 'GET', '/readyz')).toMatchObject({
      status: 200,
      body: { status: 'ready', database: 'up', broker: 'up' },
    }),
  );
});
