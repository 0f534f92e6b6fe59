import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { searched } from '../../src/store/erase-user.ts';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Whoever is erased is gone from the tables, the broker and Redis, and nothing that was under way brings them back. */

let space: Namespace;
let env: Record<string, string>;
let api: Member;
let broker: BrokerHand;
let redis: Redis;
const scorer = new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  env = {
    ...space.env,
    REDIS_URL: inject('redisUrl'),
    MAX_ATTEMPTS: '1',
    SCORER_MODULE: scorer,
    RESPONSE_CACHE_SECONDS: '0',
  };
  broker = await openBroker(inject('rabbitmqUrl'));
  redis = new Redis(inject('redisUrl'));
  api = await startMember('api', env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await broker.close();
  await redis.quit();
  await space.dispose();
});

let user = '';
let bystander = '';
let n = 0;
beforeEach(() => {
  n++;
  user = `erased_${process.pid}_${Date.now()}_${n}`;
  bystander = `bystander_${process.pid}_${n}`;
});

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 30_000, interval: 50 });
const erase = (base = api.url) => call(base, 'DELETE', `/v1/users/${user}`);
const audit = async () => JSON.parse((await runCommand(['audit', '--json'], env)).output).violations;
const of = async (who: string) =>
  rows<{ status: string }>(space.database, 'SELECT status FROM conversation_events WHERE user_id = ?', [who]);

/** Every text of every table that has the user's id anywhere in it. */
async function traces(): Promise<string[]> {
  const columns = await rows<{ t: string; c: string }>(
    space.database,
    `SELECT table_name AS t, column_name AS c FROM information_schema.columns
     WHERE table_schema = DATABASE() AND data_type IN ('char', 'varchar', 'text', 'mediumtext', 'longtext', 'json')`,
  );
  const found: string[] = [];
  for (const { t, c } of columns) {
    const hits = await rows(space.database, `SELECT 1 FROM ${t} WHERE \`${c}\` LIKE ? LIMIT 1`, [`%${user}%`]);
    if (hits.length > 0) found.push(`${t}.${c}`);
  }
  return found;
}

/** Bodies that are in the dead-letter queue. */
async function letters(): Promise<string[]> {
  return (await broker.peek(space.deadQueue)).map((message) => message.content.toString());
}

test('everything of a user goes, whatever its state; nothing of others does', async () => {
  const worker = await startMember('worker', env);
  for (const user_id of [user, bystander]) {
    for (let i = 0; i < 3; i++) await post(api.url, conversation({ user_id, agent_tag: 'pets' }));
    await post(api.url, conversation({ user_id, metadata: { act: 'refuse' } }));
  }
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 6, FAILED: 2 }));
  expect(await worker.stop()).toBe(0);
  for (const user_id of [user, bystander]) {
    await post(api.url, conversation({ user_id }));
    await post(api.url, conversation({ user_id, process_after: new Date(Date.now() + 3_600_000).toISOString() }));
  }
  await until(async () => expect(await letters()).toHaveLength(2));
  expect(await traces()).not.toEqual([]);

  expect(await erase()).toMatchObject({
    status: 200,
    body: { erased: { conversations: 6, sessions: 0, dead_letters: 1 } },
  });
  expect(await traces()).toEqual([]);
  expect((await letters()).map((body) => JSON.parse(body).user_id)).toEqual([bystander]);
  expect(await of(bystander)).toHaveLength(6);
  expect((await call(api.url, 'GET', `/v1/users/${user}/friendship`)).status).toBe(404);
  expect(await erase()).toMatchObject({ body: { erased: { conversations: 0, sessions: 0, dead_letters: 0 } } });
  const { output } = await runCommand(['actions'], env);
  expect(output).toContain('erase');
  expect(output).not.toContain(user);

  // What the broker still had of the one that was open leads nowhere, and is no dead letter.
  const next = await startMember('worker', env);
  await until(async () => expect(await broker.depth(space.queue)).toBe(0));
  await until(async () => expect((await of(bystander)).filter((e) => e.status === 'PENDING')).toHaveLength(1));
  expect(await next.stop()).toBe(0);
  expect((await letters()).map((body) => JSON.parse(body).user_id)).toEqual([bystander]);
  expect(await traces()).toEqual([]);
  expect(await audit()).toEqual([]);
});

test('an attempt that is running brings nobody back', async () => {
  const worker = await startMember('worker', env);
  for (let i = 0; i < 3; i++)
    await post(api.url, conversation({ user_id: user, metadata: { act: 'wait', ms: 3_000 } }));
  await until(async () => expect((await of(user)).filter((e) => e.status === 'PROCESSING')).toHaveLength(3));
  const before = (await letters()).length;
  expect((await erase()).body).toMatchObject({ erased: { conversations: 3 } });
  await until(async () => expect(worker.lines.filter((line) => line.includes('"erased"'))).toHaveLength(3));
  expect(await traces()).toEqual([]);
  expect(await letters()).toHaveLength(before);
  expect(await worker.stop()).toBe(0);
});

test('somebody who goes on sending meanwhile: whatever is left is whole', async () => {
  const worker = await startMember('worker', env);
  const posting = (async () => {
    for (let i = 0; i < 120; i++) expect((await post(api.url, conversation({ user_id: user }))).status).toBe(202);
  })();
  const answers: number[] = [];
  for (let i = 0; i < 6; i++) answers.push((await erase()).status);
  await posting;
  expect(answers.every((status) => status === 200 || status === 503)).toBe(true);
  await until(async () => expect((await of(user)).every((e) => e.status === 'PROCESSED')).toBe(true));
  expect(await audit()).toEqual([]);
  expect((await erase()).status).toBe(200);
  expect(await traces()).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

test('a live session goes, from Redis and the tables, and no API writes it again', async () => {
  const { bot_type, bot_id, bot_name } = conversation();
  const other = await startMember('api', env);
  const ids: string[] = [];
  for (const [i, base] of [api.url, other.url, api.url].entries()) {
    const session_id = `s-${process.pid}-${n}-${i}`;
    ids.push(session_id);
    const body = { session_id, user_id: user, bot_type, bot_id, bot_name };
    expect((await call(base, 'POST', '/v1/sessions', body)).status).toBe(201);
    const said = { message_id: 'first', role: 'user', text: `I am ${user}` };
    expect((await call(base, 'POST', `/v1/sessions/${session_id}/messages`, said)).status).toBe(202);
    // One of them is in the tables as well.
    if (i === 0) await call(base, 'POST', `/v1/sessions/sync`);
  }
  expect((await erase()).body).toMatchObject({ erased: { sessions: 3 } });
  expect(await traces()).toEqual([]);
  for (const id of ids) {
    expect(await redis.keys(`session:{${id}}:*`)).toEqual([]);
    const said = { message_id: 'second', role: 'user', text: 'still there?' };
    expect((await call(other.url, 'POST', `/v1/sessions/${id}/messages`, said)).status).toBe(404);
  }
  await call(other.url, 'POST', '/v1/sessions/sync');
  expect(await other.stop()).toBe(0); // with a last sync
  expect(await traces()).toEqual([]);
  expect(await audit()).toEqual([]);
});

test('the broker is away: 503 until its dead letters were looked at, and a repeat is enough', async () => {
  const lonely = await startMember('api', { ...env, RABBITMQ_URL: 'amqp://127.0.0.1:1' });
  await post(lonely.url, conversation({ user_id: user }));
  expect(await erase(lonely.url)).toMatchObject({ status: 503, body: { code: 'broker_unavailable' } });
  expect(await lonely.stop()).toBe(0);
  expect((await erase()).status).toBe(200);
  expect(await traces()).toEqual([]);
});

test('from a shell: only with --yes, and without the name of the user in what it records', async () => {
  await post(api.url, conversation({ user_id: user }));
  expect(await runCommand(['erase', user], env)).toMatchObject({ output: expect.stringContaining('add --yes') });
  expect(await of(user)).toHaveLength(1);
  expect(await runCommand(['erase', user, '--yes'], env)).toMatchObject({
    code: 0,
    output: 'nothing is left of this user; removed: 1 conversation, 0 sessions, 0 dead letters',
  });
  expect(await traces()).toEqual([]);
});

test('every table with a user is searched', async () => {
  const tables = await rows<{ t: string }>(
    space.database,
    `SELECT table_name AS t FROM information_schema.columns
     WHERE table_schema = DATABASE() AND column_name = 'user_id'`,
  );
  expect(new Set(tables.map(({ t }) => t))).toEqual(new Set(searched));
});
