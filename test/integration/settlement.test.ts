import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, rows, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { serverProcesses } from '../support/server-processes.ts';

/**
 * The settlement table, row by row: what becomes of a delivery, as seen in the event's row and the dead-letter queue.
 */

let space: Namespace;
let api: Member;
let worker: Member;
let broker: BrokerHand;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '2',
      SCORING_THREAD_MEMORY_MB: '64',
      SCORING_TIMEOUT_MS: '3000',
      MAX_ATTEMPTS: '3',
      RETRY_BASE_MS: '100',
      RETRY_CAP_MS: '200',
      // Two tests set a PROCESSED event back by hand, which nothing in Afterword does: they must see the second end.
      RESPONSE_CACHE_SECONDS: '0',
    },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterAll(async () => {
  await broker.close();
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const send = async (metadata: object, more: object = {}) => {
  const body = conversation({ metadata, ...more });
  expect((await post(api.url, body)).status).toBe(202);
  return body.conversation_id;
};
const event = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${encodeURIComponent(id)}`)).body;
const until = (id: string, expected: object) =>
  vi.waitFor(async () => expect(await event(id)).toMatchObject(expected), { timeout: 30_000, interval: 50 });
const deadLetter = (match: (text: string) => boolean) =>
  vi.waitFor(
    async () => {
      dead.push(...(await broker.takeAll(space.deadQueue)));
      const found = dead.find((message) => match(message.content.toString()));
      if (!found) throw new Error('not dead-lettered yet');
      return found;
    },
    { timeout: 15_000, interval: 50 },
  );
const dead: Awaited<ReturnType<BrokerHand['takeAll']>> = [];

test("scored: PROCESSED with the scorer's own details, and the friendship", async () => {
  const id = await send({}, { user_id: 'scored', agent_tag: 'dogs' });
  await until(id, {
    status: 'PROCESSED',
    attempt_count: 0,
    next_attempt_at: null,
    error: null,
    result: {
      friendship_score_change: 2,
      new_friendship_level: 'PHASE1_STRANGER',
      score_calculation_details: { act: 'none', scorer: 'obedient@1' },
    },
  });
  const { body } = await call(api.url, 'GET', '/v1/users/scored/friendship');
  expect(body).toMatchObject({
    friendship_score: 2,
    streak_day: 1,
    topics: [{ topic_id: 'dogs', score: 2, turns: 2, level: 'PHASE1_STRANGER' }],
  });
});

test('transient failure: counted, waits, is republished by the relay, and succeeds', async () => {
  const id = await send({ act: 'throw', times: 2 });
  await until(id, { status: 'PROCESSED', attempt_count: 2, error: null });
});

test('attempts exhausted: FAILED with the reason, and dead-lettered', async () => {
  const id = await send({ act: 'throw' });
  await until(id, {
    status: 'FAILED',
    attempt_count: 3,
    next_attempt_at: null,
    error: { code: 'SCORER_FAILED' },
    result: null,
  });
  const letter = await deadLetter((text) => text.includes(id));
  expect(letter.properties.headers?.['x-death']?.[0]).toMatchObject({ queue: space.queue, reason: 'rejected' });
});

test.each([
  ['a permanent failure', { act: 'refuse' }, 'SCORER_FAILED'],
  ['an answer that is not a score', { act: 'nothing' }, 'SCORER_ANSWER'],
  ['details that are not JSON', { act: 'circle' }, 'SCORER_ANSWER'],
  ['an error with a name as long as a novel', { act: 'shout' }, 'SCORER_FAILED'],
])('%s: FAILED at once, on the first attempt', async (_name, metadata, code) => {
  const id = await send(metadata);
  await until(id, { status: 'FAILED', attempt_count: 1, error: { code } });
  await deadLetter((text) => text.includes(id));
});

test.each([
  ['runs forever', { act: 'hang', times: 1 }, 'SCORING_TIMEOUT'],
  ['calls process.exit', { act: 'exit', times: 1 }, 'SCORING_THREAD_DIED'],
  ['allocates endlessly', { act: 'eat', times: 1 }, 'SCORING_THREAD_DIED'],
])('a scorer that %s costs its thread and its attempt, nothing else', async (_name, metadata, code) => {
  const innocent = await Promise.all([send({ act: 'burn', ms: 50 }), send({})]);
  const id = await send(metadata);
  // Each new thread has forgotten the earlier attempts, so this one fails permanently.
  await until(id, { status: 'FAILED', attempt_count: 3, error: { code } });
  for (const other of innocent) await until(other, { status: 'PROCESSED' });
  expect(await Promise.race([worker.ended, 'running'])).toBe('running');
});

test('messages handed to a thread together with one that kills it use no attempt', async () => {
  // Quick ones first: after them, several are handed to a thread at once.
  for (const id of await Promise.all(Array.from({ length: 40 }, () => send({}))))
    await until(id, { status: 'PROCESSED' });
  const ids = await Promise.all(Array.from({ length: 60 }, (_, i) => send(i % 20 === 7 ? { act: 'exit' } : {})));
  for (const [i, id] of ids.entries()) {
    await until(id, i % 20 === 7 ? { status: 'FAILED', attempt_count: 3 } : { status: 'PROCESSED', attempt_count: 0 });
  }
});

test('a slow attempt is shown as PROCESSING, with its start and worker; a quick one never is', async () => {
  const id = await send({ act: 'burn', ms: 2_500 });
  await until(id, {
    status: 'PROCESSING',
    processing: { worker: expect.stringContaining(String(worker.pid)), attempt_started_at: expect.any(String) },
  });
  expect((await event(id)).next_attempt_at).not.toBeNull();
  await until(id, { status: 'PROCESSED', processing: null });
});

describe('messages that are not ours', () => {
  test.each([
    ['not JSON', 'hello'],
    ['not an object', '[1,2]'],
    ['another schema', '{"order": 17}'],
    ['an event that does not exist', JSON.stringify({ conversation_id: 'conv_never_accepted' })],
    [
      'an unknown event with every field',
      JSON.stringify({ ...conversation(), event_id: '01890000-0000-7000-8000-00000000ffff' }),
    ],
    ['nothing at all', ''],
    ['ten megabytes', 'x'.repeat(10_000_000)],
    ['deep nesting', '['.repeat(200_000)],
  ])('%s: dead-lettered, never looped', async (_name, body) => {
    broker.publish(space.queue, body);
    const letter = await deadLetter((text) => text === body);
    expect(letter.properties.headers?.['x-death']?.[0]).toMatchObject({
      queue: space.queue,
      reason: 'rejected',
      count: 1,
    });
  });
});

test("an older publisher's body, only the conversation id, is scored from the database", async () => {
  const id = `conv_legacy_${Date.now()}`;
  const body = conversation({ conversation_id: id });
  const { body: accepted } = await post(api.url, body);
  await until(id, { status: 'PROCESSED' });
  // Reopened behind the API's back and published as an older publisher would, without properties.
  await space.database.query(
    `UPDATE conversation_events SET status = 'PENDING', next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR,
      processed_at = NULL WHERE event_id = ?`,
    [accepted.event_id],
  );
  await space.database.query('UPDATE friendship_status SET friendship_score = friendship_score - 2 WHERE user_id = ?', [
    body.user_id,
  ]);
  broker.publish(space.queue, { conversation_id: id });
  await until(id, { status: 'PROCESSED' });
});

test.each([
  ['another user and topic', { user_id: 'impostor', agent_tag: 'imposture' }],
  ['no user', { user_id: undefined }],
  ['an invalid user id', { user_id: 'x'.repeat(100_000) }],
])('a message that names %s: the row decides whose score it is', async (name, wrong) => {
  const [userId, topic] = [`owner of ${name}`, 'the topic'];
  const body = conversation({ user_id: userId, agent_tag: topic });
  const { body: accepted } = await post(api.url, body);
  await until(body.conversation_id, { status: 'PROCESSED' });
  await space.database.query(
    `UPDATE conversation_events SET status = 'PENDING', next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR,
      processed_at = NULL WHERE event_id = ?`,
    [accepted.event_id],
  );
  await space.database.query('UPDATE friendship_status SET friendship_score = friendship_score - 2 WHERE user_id = ?', [
    userId,
  ]);
  await space.database.query('DELETE FROM friendship_topic_metrics WHERE user_id = ?', [userId]);
  broker.publish(space.queue, { ...body, event_id: accepted.event_id, ...wrong }, { messageId: accepted.event_id });
  await until(body.conversation_id, { status: 'PROCESSED' });
  const { body: friendship } = await call(api.url, 'GET', `/v1/users/${encodeURIComponent(userId)}/friendship`);
  expect(friendship).toMatchObject({ friendship_score: 2, topics: [{ topic_id: topic, score: 2 }] });
  expect((await call(api.url, 'GET', '/v1/users/impostor/friendship')).status).toBe(404);
});

test('a log over 64 KiB is read from the database, not carried in the message', async () => {
  const conversation_log = Array.from({ length: 300 }, (_, i) => ({
    speaker: i % 2 ? 'user' : 'pika',
    text: `${i} ${'long '.repeat(80)}`,
  }));
  const id = await send({}, { conversation_log, user_id: 'long', agent_tag: 'long' });
  await until(id, { status: 'PROCESSED' });
  expect((await call(api.url, 'GET', '/v1/users/long/friendship')).body.topics[0].turns).toBe(300);
});

test('every friendship is the exact sum of what was processed', async () => {
  expect(await wrongSums(space.database)).toEqual([]);
});

test("neither rows nor log lines nor dead letters' errors repeat what was said", async () => {
  const id = await send({ act: 'throw' }, { conversation_log: [{ speaker: 'user', text: 'xyzzy-secret' }] });
  await until(id, { status: 'FAILED' });
  const [row] = await rows<{ error_details: string }>(
    space.database,
    'SELECT error_details FROM conversation_events WHERE conversation_id = ?',
    [id],
  );
  expect(row?.error_details).toMatch(/obedient@1 threw Error at obedient-scorer\.ts:\d+/);
  expect([...api.lines, ...worker.lines].filter((line) => line.includes('xyzzy'))).toEqual([]);
});

test("a result that waits for another transaction's lock delays no other", async () => {
  const warm = await send({}, { user_id: 'frozen' });
  await until(warm, { status: 'PROCESSED' });
  const holder = await space.database.getConnection();
  await holder.beginTransaction();
  try {
    await holder.query("SELECT * FROM friendship_status WHERE user_id = 'frozen' FOR UPDATE");
    const held = await send({}, { user_id: 'frozen' });
    const waitsAtLock = async () => {
      const at = await serverProcesses(space.database);
      expect(at.filter((p) => p.statement.includes('friendship_status'))).toHaveLength(1);
    };
    await vi.waitFor(waitsAtLock, { timeout: 15_000, interval: 20 });
    const others = await Promise.all([1, 2, 3].map((n) => send({}, { user_id: `thawed_${n}` })));
    for (const id of others) await until(id, { status: 'PROCESSED' });
    expect((await event(held)).status).not.toBe('PROCESSED');
    await holder.rollback();
    await until(held, { status: 'PROCESSED' });
  } finally {
    await holder.rollback();
    holder.release();
  }
  expect(await wrongSums(space.database)).toEqual([]);
});
