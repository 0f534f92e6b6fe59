import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { call, conversation, rows } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let env: Record<string, string>;
let api: Member;
let worker: Member;
let redis: Redis;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  env = {
    ...space.env,
    REDIS_URL: inject('redisUrl'),
    SESSION_MESSAGES_PER_MINUTE: '0',
    USER_MESSAGES_PER_MINUTE: '0',
    SESSION_IDLE_MINUTES: '1',
  };
  redis = new Redis(inject('redisUrl'));
  api = await startMember('api', env);
  worker = await startMember('worker', env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await redis.quit();
  await space.dispose();
});

let n = 0;
/** A session that only one test uses. */
async function begin(base = api.url, more: object = {}): Promise<string> {
  const sessionId = `s-${process.pid}-${Date.now()}-${++n}`;
  const { user_id, bot_type, bot_id, bot_name } = conversation();
  const body = { session_id: sessionId, user_id, bot_type, bot_id, bot_name, ...more };
  expect((await call(base, 'POST', '/v1/sessions', body)).status).toBe(201);
  return sessionId;
}
const say = (sessionId: string, body: object, base = api.url) =>
  call(base, 'POST', `/v1/sessions/${sessionId}/messages`, body);
const look = async (sessionId: string, what = '') =>
  (await call(api.url, 'GET', `/v1/sessions/${sessionId}${what}`)).body;
const sync = async () => (await call(api.url, 'POST', '/v1/sessions/sync')).body.synced as number;
const written = (sessionId: string) =>
  rows<{ message_id: string; position: number; role: string; text: string }>(
    space.database,
    'SELECT message_id, position, role, text FROM chat_messages WHERE session_id = ? ORDER BY position',
    [sessionId],
  );

test('a conversation: each message is acknowledged once, in order, and counted once', async () => {
  const id = await begin();
  expect((await say(id, { message_id: 'hello', role: 'user', text: ' Hello! ' })).body).toEqual({
    message_id: 'hello',
    position: 1,
    question_count: 1,
  });
  const second = await say(id, { speaker: 'PIKA', content: 'How are you?', timestamp: '2026-01-31T20:00:01+07:00' });
  expect(second).toMatchObject({ status: 202, body: { position: 2, question_count: 1 } });
  const again = await say(id, { message_id: 'hello', role: 'user', text: 'Hello!' });
  expect(again.body).toEqual({ message_id: 'hello', position: 1, question_count: 1 });
  expect(again.headers['idempotency-replayed']).toBe('true');
  const list = await say(id, {
    messages: [
      { message_id: 'fine', character: 'user', text: 'Fine' },
      { message_id: 'hello', role: 'user', text: 'Hello!' },
      { message_id: 'good', role: 'assistant', text: 'Good' },
    ],
  });
  expect(list.body.messages).toEqual([
    { message_id: 'fine', position: 3, question_count: 2 },
    { message_id: 'hello', position: 1, question_count: 1 },
    { message_id: 'good', position: 4, question_count: 2 },
  ]);
  const session = await look(id);
  expect(session).toMatchObject({ state: 'open', question_count: 2, messages: 4, pending: 4, synced: 0 });
  expect(session.history.map((m: { text: string }) => m.text)).toEqual(['Hello!', 'How are you?', 'Fine', 'Good']);
  expect(session.history[1]).toMatchObject({ role: 'bot', timestamp: '2026-01-31T13:00:01.000Z' });

  expect(await sync()).toBeGreaterThanOrEqual(4);
  expect(await look(id)).toMatchObject({ question_count: 2, messages: 4, pending: 0, synced: 4 });
  expect((await written(id)).map((m) => [m.position, m.role, m.text])).toEqual([
    [1, 'user', 'Hello!'],
    [2, 'bot', 'How are you?'],
    [3, 'user', 'Fine'],
    [4, 'bot', 'Good'],
  ]);
});

test('the same id again is the session as it is; of another user it is refused', async () => {
  const id = await begin();
  await say(id, { role: 'user', text: 'Hi' });
  const { user_id, bot_type, bot_id, bot_name } = conversation();
  const body = { session_id: id, user_id, bot_type, bot_id, bot_name };
  expect(await call(api.url, 'POST', '/v1/sessions', body)).toMatchObject({ status: 200, body: { messages: 1 } });
  expect(await call(api.url, 'POST', '/v1/sessions', { ...body, user_id: 'somebody else' })).toMatchObject({
    status: 409,
    body: { code: 'session_exists' },
  });
});

test('100 clients send one message: it is there once', async () => {
  const id = await begin();
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => say(id, { message_id: 'same', role: 'user', text: 'Once' })),
  );
  for (const { body } of answers) expect(body).toEqual({ message_id: 'same', position: 1, question_count: 1 });
  await sync();
  expect(await written(id)).toHaveLength(1);
});

test('pages are one list, wherever its messages are', async () => {
  const id = await begin();
  const send = (from: number, to: number) =>
    say(id, { messages: Array.from({ length: to - from }, (_, i) => ({ role: 'user', text: `${from + i}` })) });
  await send(1, 31);
  await sync();
  await send(31, 51);
  const seen: string[] = [];
  for (let cursor: string | null = '0'; cursor !== null; ) {
    const page = await look(id, `/messages?limit=7&cursor=${cursor}`);
    seen.push(...page.messages.map((m: { text: string }) => m.text));
    cursor = page.next_cursor;
  }
  expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => `${i + 1}`));
  expect(await look(id, '/stats')).toMatchObject({
    messages: 50,
    user_messages: 50,
    bot_messages: 0,
    pending: 20,
    synced: 30,
  });
});

test('a session ends as one event, scored like any other, however often it is ended', async () => {
  const id = await begin();
  await say(id, {
    messages: [
      { role: 'bot', text: 'Hello! How was your day?' },
      { role: 'user', text: 'Fine, and yours?' },
    ],
  });
  const ends = await Promise.all(Array.from({ length: 10 }, () => call(api.url, 'POST', `/v1/sessions/${id}/end`)));
  for (const { status, body } of ends) expect([status, body.conversation_id]).toEqual([202, id]);
  expect(new Set(ends.map(({ body }) => body.event_id)).size).toBe(1);
  const { body } = await call(api.url, 'GET', `/v1/conversations/${id}?include=log`, undefined, { prefer: 'wait=20' });
  expect(body).toMatchObject({ status: 'PROCESSED', event_id: ends[0]?.body.event_id });
  expect(body.conversation_log.map((t: { speaker: string; text: string }) => [t.speaker, t.text])).toEqual([
    ['pika', 'Hello! How was your day?'],
    ['user', 'Fine, and yours?'],
  ]);
  expect(await say(id, { role: 'user', text: 'One more' })).toMatchObject({
    status: 409,
    body: { code: 'session_ended' },
  });
  expect(await look(id)).toMatchObject({ state: 'ended', event_id: body.event_id, conversation_id: id });
  const other = await call(api.url, 'POST', `/v1/sessions/${id}/end`, { conversation_id: 'another' });
  expect(other).toMatchObject({ status: 409, body: { code: 'session_ended' } });
});

test('/v1/conversations/end takes a session in place of a log, with its own id and metadata', async () => {
  const id = await begin();
  await say(id, { role: 'user', text: 'Do you like dogs?' });
  const body = { session_id: id, conversation_id: `of ${id}`, metadata: { session_emotion: 'happy' } };
  const first = await call(api.url, 'POST', '/v1/conversations/end', body);
  expect(first).toMatchObject({ status: 202, body: { conversation_id: `of ${id}` } });
  const again = await call(api.url, 'POST', '/v1/conversations/end', body);
  expect(again.body.event_id).toBe(first.body.event_id);
  expect(again.headers['idempotency-replayed']).toBe('true');
});

test('an end whose conversation is refused leaves the session open', async () => {
  const taken = conversation();
  expect((await call(api.url, 'POST', '/v1/conversations/end', taken)).status).toBe(202);
  const id = await begin();
  await say(id, { role: 'user', text: 'Hi' });
  expect(
    await call(api.url, 'POST', `/v1/sessions/${id}/end`, { conversation_id: taken.conversation_id }),
  ).toMatchObject({
    status: 409,
    body: { code: 'conversation_exists' },
  });
  expect((await say(id, { role: 'user', text: 'Still here' })).body).toMatchObject({ position: 2, question_count: 2 });
  expect((await call(api.url, 'POST', `/v1/sessions/${id}/end`)).status).toBe(202);
});

test('Redis forgets what is synced; the next use has it from the database, and repeats are still known', async () => {
  const id = await begin();
  await say(id, {
    messages: [
      { message_id: 'one', role: 'user', text: 'One' },
      { message_id: 'two', role: 'bot', text: 'Two' },
    ],
  });
  await sync();
  const keys = await redis.keys(`session:{${id}}:*`);
  expect(keys.length).toBeGreaterThan(3);
  for (const key of keys) expect(await redis.pttl(key)).toBeGreaterThan(0);
  await redis.del(keys);
  expect((await say(id, { message_id: 'one', role: 'user', text: 'One' })).body).toEqual({
    message_id: 'one',
    position: 1,
    question_count: 1,
  });
  expect((await say(id, { message_id: 'three', role: 'user', text: 'Three' })).body).toEqual({
    message_id: 'three',
    position: 3,
    question_count: 2,
  });
  expect((await look(id)).history.map((m: { text: string }) => m.text)).toEqual(['One', 'Two', 'Three']);
  await sync();
  expect(await written(id)).toHaveLength(3);
});

test('pending messages never expire', async () => {
  const id = await begin();
  await say(id, { role: 'user', text: 'Wait for me' });
  for (const key of await redis.keys(`session:{${id}}:*`)) expect(await redis.pttl(key)).toBe(-1);
});

test('times before 1970, an end before the session began, and numbers that JSON cannot repeat', async () => {
  const id = await begin();
  const old = { role: 'user', text: 'One small step', timestamp: '1969-07-20T20:17:40Z' };
  expect((await say(id, old)).body).toMatchObject({ position: 1 });
  expect((await look(id)).history[0]).toMatchObject({ timestamp: '1969-07-20T20:17:40.000Z' });
  const end = '{"end_time":"1969-07-20T21:00:00Z","metadata":{"zero":-0,"huge":1e400}}';
  for (let i = 0; i < 2; i++) expect((await call(api.url, 'POST', `/v1/sessions/${id}/end`, end)).status).toBe(202);
  expect(await look(id)).toMatchObject({ state: 'ended', messages: 1, synced: 1 });
});

test('a session in which nothing is said leaves Redis in its time', async () => {
  const id = await begin();
  const keys = await redis.keys(`session:{${id}}:*`);
  expect(keys).toHaveLength(2);
  for (const key of keys) expect(await redis.pttl(key)).toBeGreaterThan(0);
  await say(id, { role: 'user', text: 'Hi' });
  for (const key of keys) expect(await redis.pttl(key)).toBe(-1);
});

test.each([
  [{}, '/role', 'is missing'],
  [{ role: 'user', speaker: 'user', text: 'x' }, '/role', 'is given 2 times: as role, speaker'],
  [{ role: 'narrator', text: 'x' }, '/role', 'must name the user (user) or the bot (bot, assistant)'],
  [{ role: 'user', text: '  ' }, '/text', 'must not be blank'],
  [{ role: 'user', text: 7 }, '/text', 'must be a string'],
  [{ role: 'user', text: '\ud800' }, '/text', 'must be valid Unicode (it has half of a surrogate pair)'],
  [
    { role: 'user', text: 'x', message_id: 'a b c' },
    '/message_id',
    'must be 3 to 120 characters of letters, digits and . _ : @ -',
  ],
  [
    { role: 'user', text: 'x', timestamp: 'now' },
    '/timestamp',
    'must be an ISO 8601 date and time with zone, such as 2026-01-31T20:15:00Z',
  ],
  [{ messages: [] }, '/messages', 'must not be empty'],
])('a bad message is refused with its error: %j', async (body, pointer, detail) => {
  const id = await begin();
  const answer = await say(id, body);
  expect(answer.status).toBe(422);
  expect(answer.body.errors).toContainEqual({ pointer, detail });
});

test('what is not there is 404', async () => {
  for (const [method, path] of [
    ['GET', '/v1/sessions/nobody'],
    ['GET', '/v1/sessions/nobody/messages'],
    ['GET', '/v1/sessions/nobody/stats'],
    ['GET', '/v1/sessions/%7Bbraces%7D'],
    ['POST', '/v1/sessions/nobody/end'],
  ] as const)
    expect(await call(api.url, method, path)).toMatchObject({ status: 404, body: { code: 'session_not_found' } });
  expect(await say('nobody', { role: 'user', text: 'x' })).toMatchObject({ status: 404 });
});

test('the old sync answers as it always did, and says that it is deprecated', async () => {
  const id = await begin();
  await sync();
  await say(id, {
    messages: [
      { role: 'user', text: 'a' },
      { role: 'bot', text: 'b' },
    ],
  });
  const { body, headers } = await call(api.url, 'GET', '/sync_now');
  expect(body).toEqual({ message: 'Đã đồng bộ thành công 2 tin nhắn' });
  expect(headers['deprecation']).toMatch(/^@\d+$/);
  expect(headers['link']).toContain('/v1/sessions/sync');
});

test('what an API has pending when it stops is written first', async () => {
  const other = await startMember('api', env);
  const id = await begin(other.url);
  await say(id, { role: 'user', text: 'Last words' }, other.url);
  expect(await other.stop()).toBe(0);
  expect(await written(id)).toHaveLength(1);
});

test('limits: of a session, of a user, of what a session holds', async () => {
  const other = await startMember('api', {
    ...env,
    SESSION_MESSAGES_PER_MINUTE: '3',
    USER_MESSAGES_PER_MINUTE: '5',
    MAX_BODY_BYTES: '2048',
  });
  const user = { user_id: `limited ${Date.now()}` };
  const [one, two] = [await begin(other.url, user), await begin(other.url, user)];
  const many = (count: number) => ({ messages: Array.from({ length: count }, () => ({ role: 'user', text: 'x' })) });
  expect(await say(one, many(4), other.url)).toMatchObject({
    status: 422,
    body: { code: 'too_many_messages_at_once' },
  });
  expect((await say(one, many(3), other.url)).status).toBe(202);
  const refused = await say(one, many(1), other.url);
  expect(refused).toMatchObject({ status: 429, body: { code: 'too_many_messages' } });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await say(two, many(2), other.url)).status).toBe(202);
  expect((await say(two, many(1), other.url)).status).toBe(429);
  const large = await begin(other.url);
  expect((await say(large, { role: 'user', text: 'x'.repeat(1_500) }, other.url)).status).toBe(202);
  expect(await say(large, { role: 'user', text: 'x'.repeat(1_500) }, other.url)).toMatchObject({
    status: 409,
    body: { code: 'session_full' },
  });
  expect(await other.stop()).toBe(0);
});

test('a session without activity is ended, and one with activity that is not synced is not', async () => {
  const [idle, busy] = [await begin(), await begin()];
  for (const id of [idle, busy]) await say(id, { role: 'user', text: 'Bye' });
  await sync();
  await space.database.query(
    'UPDATE chat_sessions SET active_at = UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE WHERE session_id IN (?)',
    [[idle, busy]],
  );
  await redis.hset(`session:{${idle}}:meta`, 'active', Date.now() - 120_000);
  await vi.waitFor(async () => expect((await look(idle)).state).toBe('ended'), 20_000);
  expect((await call(api.url, 'GET', `/v1/conversations/${idle}`)).status).toBe(200);
  expect((await look(busy)).state).toBe('open');
});

test('an end that was cut short is finished by the fleet', async () => {
  const id = await begin();
  await say(id, { role: 'user', text: 'Bye' });
  await sync();
  const end = JSON.stringify({ conversationId: id, endTime: null, metadata: null });
  await redis.hset(`session:{${id}}:meta`, 'state', 'ending', 'end', end);
  await space.database.query(
    `UPDATE chat_sessions SET state = 'ending', end_request = ?, changed_at = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE
     WHERE session_id = ?`,
    [end, id],
  );
  await vi.waitFor(async () => expect((await look(id)).state).toBe('ended'), 20_000);
  const events = await rows(space.database, 'SELECT 1 FROM conversation_events WHERE conversation_id = ?', [id]);
  expect(events).toHaveLength(1);
});

describe('a responder', () => {
  let bot: Member;
  beforeAll(async () => {
    const module = fileURLToPath(new URL('../fixtures/obedient-responder.ts', import.meta.url));
    const own = { RESPONDER_MODULE: module, RESPONDER_TIMEOUT_MS: '500', RESPONDER_CONCURRENCY: '2' };
    bot = await startMember('api', { ...env, ...own });
  });
  afterAll(async () => void expect(await bot.stop()).toBe(0));

  test('answers in the same call; a repeat gets the same reply', async () => {
    const id = await begin(bot.url);
    const first = await say(id, { message_id: 'ask', role: 'user', text: 'How are you?' }, bot.url);
    expect(first).toMatchObject({
      status: 200,
      body: {
        position: 1,
        question_count: 1,
        reply: { role: 'bot', position: 2, text: 'You said: How are you? (0 before)' },
      },
    });
    const again = await say(id, { message_id: 'ask', role: 'user', text: 'How are you?' }, bot.url);
    expect(again.body).toEqual(first.body);
    const second = await say(id, { role: 'user', text: 'And now?' }, bot.url);
    expect(second.body.reply.text).toBe('You said: And now? (2 before)');
    expect(await look(id)).toMatchObject({ messages: 4, question_count: 2 });
  });

  test.each([
    ['throw', 'responder_failed'],
    ['hang', 'responder_timeout'],
    ['blank', 'responder_invalid_reply'],
    ['number', 'responder_invalid_reply'],
  ])('that fails (%s) loses no message, and may be asked again', async (act, code) => {
    const id = await begin(bot.url);
    const failed = await say(id, { message_id: 'ask', role: 'user', text: act }, bot.url);
    expect(failed).toMatchObject({ status: 202, body: { position: 1, reply: null, reply_error: { code } } });
    expect(await look(id)).toMatchObject({ messages: 1, question_count: 1 });
  });

  test('is asked by so many at a time, and no more', async () => {
    const id = await begin(bot.url);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => say(id, { role: 'user', text: 'hang' }, bot.url)),
    );
    const codes = answers.map(({ body }) => body.reply_error.code).sort();
    expect(codes).toEqual([...Array(3).fill('responder_busy'), ...Array(2).fill('responder_timeout')]);
    expect((await look(id)).messages).toBe(5);
  });
});

describe('what an operator sees', () => {
  test('sessions try checks every answer; list, show and sync', async () => {
    const url = ['--url', api.url];
    const tried = await runCommand(
      ['sessions', 'try', ...url, '--messages', '6', '--parallel', '2', '--sync', '--json'],
      env,
    );
    const report = JSON.parse(tried.output);
    expect(report).toMatchObject({ answered: 12, wrong: [] });
    expect(tried.code).toBe(0);
    const id = report.sessions[0].session_id as string;
    const listed = JSON.parse((await runCommand(['sessions', 'list', '--user', 'user_try', '--json'], env)).output);
    expect(listed.map((s: { session_id: string }) => s.session_id)).toContain(id);
    const shown = await runCommand(['sessions', 'show', id, ...url], env);
    expect(shown).toMatchObject({ code: 0, output: expect.stringMatching(/question_count +3.*Message 6/s) });
    await say(id, { role: 'user', text: 'pending' });
    expect(await runCommand(['sessions', 'sync', id, ...url], env)).toMatchObject({ code: 0 });
    expect(await written(id)).toHaveLength(7);
    const stats = JSON.parse((await runCommand(['sessions', 'try', ...url, '--stats', id, '--json'], env)).output);
    expect(stats).toMatchObject({ messages: 7, pending: 0 });
    expect(await runCommand(['sessions', 'show', 'nobody', ...url], env)).toMatchObject({
      code: 2,
      output: expect.stringContaining('there is no session nobody'),
    });
  });

  test('a session command at an API without sessions says what to do', async () => {
    const plain = await startMember('api', space.env);
    expect(await runCommand(['sessions', 'sync', '--url', plain.url], env)).toMatchObject({
      output: expect.stringContaining('has no live sessions: start it with REDIS_URL'),
    });
    const end = await call(plain.url, 'POST', '/v1/conversations/end', { session_id: 'abc' });
    expect(end).toMatchObject({ status: 422, body: { code: 'no_sessions' } });
    expect(await plain.stop()).toBe(0);
  });

  test('audit and doctor know sessions, and what is wrong with one', async () => {
    const id = await begin();
    await say(id, { role: 'user', text: 'Count me' });
    expect((await call(api.url, 'POST', `/v1/sessions/${id}/end`)).status).toBe(202);
    await sync();
    const audit = async () => JSON.parse((await runCommand(['audit', '--json'], env)).output);
    expect((await audit()).violations).toEqual([]);
    await space.database.query('UPDATE chat_sessions SET question_count = 5 WHERE session_id = ?', [id]);
    await space.database.query("UPDATE chat_messages SET text = 'Something else' WHERE session_id = ?", [id]);
    expect((await audit()).violations).toEqual([
      { rule: 'session-count', session_id: id, detail: '5 questions, not 1' },
      { rule: 'session-event', session_id: id, detail: 'its turns are not what was said' },
    ]);
    await space.database.query('UPDATE chat_sessions SET question_count = 1 WHERE session_id = ?', [id]);
    await space.database.query("UPDATE chat_messages SET text = 'Count me' WHERE session_id = ?", [id]);
    const doctor = await runCommand(['doctor'], env);
    expect(doctor.output).toMatch(/ok +redis eviction +noeviction/);
    expect(doctor.output).toMatch(/ok +redis durability +appendonly, fsync everysec/);
    const away = await runCommand(['doctor'], { ...env, REDIS_URL: 'redis://127.0.0.1:1' });
    expect(away.output).toMatch(/FAIL +redis +cannot be used/);
    expect(away.code).toBe(1);
  });

  test('metrics and health tell of Redis and of what is pending', async () => {
    const id = await begin();
    await say(id, { role: 'user', text: 'Pending' });
    const text = await (await fetch(`${api.url}/metrics`)).text();
    expect(text).toMatch(/^afterword_redis_up 1$/m);
    expect(text).toMatch(/^afterword_sessions_pending [1-9]/m);
    expect(text).toMatch(/^afterword_session_messages_total\{source="redis",result="new"\} \d+$/m);
    expect(text).not.toContain(id);
    const { body } = await call(api.url, 'GET', '/health/detailed');
    expect(body.dependencies.redis).toMatchObject({ answers: true });
    await sync();
  });
});
