import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Redis } from '../../scripts/servers/index.ts';
import { call, rows } from '../support/client.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { proveTalk, startTalk } from '../support/talk.ts';
import { untilSaid } from './catalogue/fault.ts';
import { untilSynced } from './catalogue/sessions.ts';

let fleet: Fleet;
let redis: Redis;

beforeAll(async () => {
  const env = {
    SYNC_INTERVAL: '300',
    SESSION_MESSAGES_PER_MINUTE: '0',
    USER_MESSAGES_PER_MINUTE: '0',
    LOG_LEVEL: 'info',
  };
  fleet = await startFleet({ workers: 1, withRedis: true, env });
  redis = fleet.servers.redis as Redis;
});
afterAll(async () => {
  expect((await fleet.stop()).codes).toEqual([0, 0]);
});

const get = async (path: string) => (await call(fleet.url, 'GET', path, undefined, { prefer: 'wait=20' })).body;
const post = (path: string, body?: object) => call(fleet.url, 'POST', path, body);
/** For ten seconds after a restart of Redis, other processes may still have to bring back what it has lost. */
const untilEnded = (id: string) =>
  vi.waitFor(async () => expect((await post(`/v1/sessions/${id}/end`)).status).toBe(202), 20_000);
const head = (id: string) => ({ session_id: id, user_id: 'user_walk', bot_type: 'TALK', bot_id: 'b', bot_name: 'B' });

test('the walk of docs/sessions.md: begin, talk, look, kill Redis, talk on, start it, sync, end, score', async () => {
  expect((await post('/v1/sessions', head('walk'))).status).toBe(201);
  const say = (id: string, role: string, text: string) =>
    post('/v1/sessions/walk/messages', { message_id: id, role, text });
  expect((await say('m-1', 'bot', 'Hi! What did you do today?')).body).toMatchObject({
    position: 1,
    question_count: 0,
  });
  expect((await say('m-2', 'user', 'I played with my dog.')).body).toMatchObject({ position: 2, question_count: 1 });
  expect(await get('/v1/sessions/walk')).toMatchObject({ messages: 2, pending: 2, synced: 0 });

  await untilSaid(fleet, 'Redis is away', () => redis.kill());
  expect((await say('m-3', 'user', 'Do you like dogs?')).body).toMatchObject({ position: 3, question_count: 2 });
  expect((await say('m-2', 'user', 'I played with my dog.')).body).toMatchObject({ position: 2, question_count: 1 });
  expect(await get('/v1/sessions/walk')).toMatchObject({ messages: 3, question_count: 2 });
  expect(await post('/v1/sessions/walk/end')).toMatchObject({ status: 503, body: { code: 'redis_unavailable' } });

  await untilSaid(fleet, 'Redis is back', () => redis.start());
  expect((await say('m-4', 'bot', 'Yes, very much!')).body).toMatchObject({ position: 4, question_count: 2 });
  expect((await post('/v1/sessions/sync')).status).toBe(200);
  expect(await get('/v1/sessions/walk')).toMatchObject({ messages: 4, pending: 0, synced: 4 });
  await untilEnded('walk');
  const event = await get('/v1/conversations/walk?include=log');
  expect(event.status).toBe('PROCESSED');
  expect(event.conversation_log.map((t: { text: string }) => t.text)).toEqual([
    'Hi! What did you do today?',
    'I played with my dog.',
    'Do you like dogs?',
    'Yes, very much!',
  ]);
});

test('messages of a minute are in Redis alone, it loses them all, and the API has them', async () => {
  await post('/v1/sessions', head('kept'));
  const messages = Array.from({ length: 100 }, (_, i) => ({ message_id: `kept-${i}`, role: 'user', text: `${i}` }));
  expect((await post('/v1/sessions/kept/messages', { messages })).status).toBe(202);
  await untilSaid(fleet, 'Redis is back', () => redis.wipe());
  const repeat = await post('/v1/sessions/kept/messages', messages[99]);
  expect(repeat.body).toEqual({ message_id: 'kept-99', position: 100, question_count: 100 });
  expect(repeat.headers['idempotency-replayed']).toBe('true');
  expect(await get('/v1/sessions/kept')).toMatchObject({ messages: 100, question_count: 100 });
});

test('Redis and the API die together without a log on disk: what was not synced is lost, and no more', async () => {
  await redis.cli('CONFIG', 'SET', 'appendonly', 'no');
  await post('/v1/sessions', head('lost'));
  await post('/v1/sessions/lost/messages', { message_id: 'written', role: 'user', text: 'Written' });
  await post('/v1/sessions/sync');
  await post('/v1/sessions/lost/messages', { message_id: 'unwritten', role: 'user', text: 'Unwritten' });
  fleet.api.member.signal('SIGKILL');
  await fleet.api.member.ended;
  await redis.wipe();
  await fleet.healthy();
  await vi.waitFor(async () => expect((await get('/health/detailed')).dependencies.redis.answers).toBe(true), 10_000);
  const again = await post('/v1/sessions/lost/messages', { message_id: 'unwritten', role: 'user', text: 'Unwritten' });
  expect(again.body).toEqual({ message_id: 'unwritten', position: 2, question_count: 2 });
  await untilEnded('lost');
});

test('with a log that is always on disk, Redis and the API die together and nothing is lost', async () => {
  await redis.cli('CONFIG', 'SET', 'appendfsync', 'always');
  await post('/v1/sessions', head('always'));
  const messages = Array.from({ length: 50 }, (_, i) => ({ message_id: `always-${i}`, role: 'user', text: `${i}` }));
  expect((await post('/v1/sessions/always/messages', { messages })).status).toBe(202);
  fleet.api.member.signal('SIGKILL');
  await Promise.all([fleet.api.member.ended, redis.kill()]);
  await redis.start();
  await fleet.healthy();
  await vi.waitFor(async () => expect(await get('/v1/sessions/always')).toMatchObject({ messages: 50 }), 20_000);
  await untilEnded('always');
  expect((await get('/v1/conversations/always?include=log')).conversation_log).toHaveLength(50);
});

test('the database is away, and Redis holds as much as it may: then 503, and nothing is lost', async () => {
  const small = await fleet.start('api', { SESSION_MAX_PENDING_BYTES: '1048576', SYNC_INTERVAL: '1' });
  for (const id of ['full', 'full2'])
    expect((await call(small.url, 'POST', '/v1/sessions', head(id))).status).toBe(201);
  await fleet.network.database.refuse();
  const send = (i: number) =>
    call(small.url, 'POST', '/v1/sessions/full/messages', {
      message_id: `full-${i}`,
      role: 'user',
      text: `${i}`.padEnd(10_000, 'x'),
    });
  let i = 0;
  let answer = await send(i);
  while (answer.status === 202 && i < 200) answer = await send(++i);
  // The session itself may hold a mebibyte; the bound of all sessions comes first, with what others have pending.
  expect([409, 503]).toContain(answer.status);
  let other = await call(small.url, 'POST', '/v1/sessions/full2/messages', { role: 'user', text: 'x'.repeat(90_000) });
  for (let n = 0; n < 30 && other.status === 202; n++)
    other = await call(small.url, 'POST', '/v1/sessions/full2/messages', { role: 'user', text: 'x'.repeat(90_000) });
  expect(other).toMatchObject({ status: 503, body: { code: 'too_much_pending' } });
  expect(Number(other.headers['retry-after'])).toBeGreaterThan(0);
  await fleet.network.database.restore();
  await vi.waitFor(async () => expect((await send(0)).status).toBe(202), 30_000);
  await call(small.url, 'POST', '/v1/sessions/sync');
  const [{ n } = { n: -1 }] = await rows<{ n: number }>(
    fleet.space.database,
    "SELECT COUNT(*) AS n FROM chat_messages WHERE session_id = 'full'",
  );
  expect(n).toBe(i);
  expect(await small.stop()).toBe(0);
});

test('a thousand sessions at once: nothing is lost, nothing is counted twice', async () => {
  const talk = startTalk({ url: fleet.url, stream: 'many', people: 1_000, length: 6, pauseMs: 200 });
  await talk.more(4_000);
  await talk.stop();
  await untilSynced(fleet);
  const { said, ...proof } = await proveTalk(fleet, talk);
  expect(said).toBeGreaterThan(4_000);
  expect(proof).toEqual({ lost: [], double: [], disordered: [], miscounted: [], wrongEvents: [] });
  expect(talk.strange).toEqual([]);
});

test('the database is away: only sessions with a new id begin, and Redis may lose even those', async () => {
  await post('/v1/sessions', head('taken'));
  const body = { ...head(''), session_id: undefined };
  await fleet.network.database.refuse();
  expect((await post('/v1/sessions', { ...head('taken'), user_id: 'somebody else' })).status).toBe(503);
  const begun = await post('/v1/sessions', body);
  expect(begun.status).toBe(201);
  await untilSaid(fleet, 'Redis is away', () => redis.wipe());
  await fleet.network.database.restore();
  const say = () =>
    post(`/v1/sessions/${begun.body.session_id}/messages`, { message_id: 'one', role: 'user', text: 'x' });
  await vi.waitFor(async () => expect(await say()).toMatchObject({ status: 202, body: { position: 1 } }), 30_000);
});

test('an API that is told to stop while Redis is away writes what it has acknowledged', async () => {
  const own = await fleet.start('api');
  await call(own.url, 'POST', '/v1/sessions', head('stopped'));
  const message = { message_id: 'last', role: 'user', text: 'Last words' };
  expect((await call(own.url, 'POST', '/v1/sessions/stopped/messages', message)).status).toBe(202);
  await untilSaid(fleet, 'Redis is away', () => redis.kill());
  await vi.waitFor(() => expect(own.lines.join('\n')).toContain('Redis is away'), 10_000);
  expect(await own.stop()).toBe(0);
  const there = await rows(fleet.space.database, "SELECT 1 FROM chat_messages WHERE session_id = 'stopped'");
  expect(there).toHaveLength(1);
  await untilSaid(fleet, 'Redis is back', () => redis.start());
});

test('a session that cannot be written does not hold up the others', async () => {
  await fleet.space.database.query(
    `CREATE TRIGGER failing BEFORE INSERT ON chat_messages FOR EACH ROW
     BEGIN IF NEW.session_id = 'poison-0' THEN SIGNAL SQLSTATE '45000'; END IF; END`,
  );
  for (let i = 0; i < 5; i++) {
    await post('/v1/sessions', head(`poison-${i}`));
    const said = await post(`/v1/sessions/poison-${i}/messages`, { message_id: 'one', role: 'user', text: 'x' });
    expect(said.status).toBe(202);
  }
  await post('/v1/sessions/sync');
  const there = () =>
    rows<{ id: string }>(
      fleet.space.database,
      "SELECT session_id AS id FROM chat_messages WHERE session_id LIKE 'poison-%' ORDER BY session_id",
    );
  expect((await there()).map(({ id }) => id)).toEqual(['poison-1', 'poison-2', 'poison-3', 'poison-4']);
  await fleet.space.database.query('DROP TRIGGER failing');
  await untilEnded('poison-0');
  expect(await there()).toHaveLength(5);
});

test('a full Redis gives away what it has, and sessions end', async () => {
  for (const id of ['quiet-1', 'quiet-2']) {
    await post('/v1/sessions', head(id));
    await post(`/v1/sessions/${id}/messages`, { message_id: 'one', role: 'user', text: 'x' });
  }
  await redis.cli('CONFIG', 'SET', 'maxmemory', '1');
  try {
    expect(await post('/v1/sessions/quiet-1/messages', { message_id: 'two', role: 'user', text: 'y' })).toMatchObject({
      status: 202,
      body: { position: 2, question_count: 2 },
    });
    expect(await post('/v1/sessions/quiet-2/end')).toMatchObject({ status: 202 });
    expect((await post('/v1/sessions/sync')).status).toBe(200);
    const there = await rows(fleet.space.database, "SELECT 1 FROM chat_messages WHERE session_id LIKE 'quiet-%'");
    expect(there).toHaveLength(3);
  } finally {
    await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  }
});
