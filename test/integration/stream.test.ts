import { randomUUID } from 'node:crypto';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, postAll, rows } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { openRaw } from '../support/raw-http.ts';
import { openStream, type StreamClient } from '../support/stream.ts';

/** `GET /v1/events/stream`: conversations as they are closed, without gaps. */

let space: Namespace;
let api: Member;
let other: Member;
let worker: Member;
beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { EVENT_STREAM: 'on' },
  );
  [api, other, worker] = await Promise.all([
    startMember('api', space.env),
    startMember('api', space.env),
    startMember('worker', space.env),
  ]);
});
afterAll(async () => {
  expect(await Promise.all([api, other, worker].map((member) => member.stop()))).toEqual([0, 0, 0]);
  await space.dispose();
});

const idsIn = (stream: StreamClient) => stream.seen.map(({ data }) => data.conversation_id);
const waitFor = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 30_000, interval: 20 });

test('each conversation comes when it is closed, as its status shows it', async () => {
  await using stream = await openStream(api.url);
  expect(stream.status).toBe(200);
  expect(stream.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  const scored = conversation();
  await post(api.url, scored);
  await waitFor(() => expect(idsIn(stream)).toEqual([scored.conversation_id]));
  const { body } = await call(api.url, 'GET', `/v1/conversations/${scored.conversation_id}`);
  expect(stream.seen[0]).toMatchObject({ type: 'conversation.processed', data: body });
});

test('a client that connects again, to another API, misses nothing, however often it is cut off', async () => {
  const bodies = Array.from({ length: 400 }, () => conversation());
  const posting = postAll(api.url, bodies, 10);
  const seen = new Set<string>();
  let lastId: string | undefined;
  for (let i = 0; seen.size < bodies.length; i++) {
    expect(i).toBeLessThan(1_000);
    await using stream = await openStream(i % 2 === 0 ? api.url : other.url, lastId === undefined ? {} : { lastId });
    const before = seen.size;
    await waitFor(() => expect(stream.seen.length + Number(seen.size === bodies.length)).toBeGreaterThan(0));
    for (const id of idsIn(stream)) if (bodies.some(({ conversation_id }) => conversation_id === id)) seen.add(id);
    lastId = stream.lastId;
    expect(seen.size).toBeGreaterThanOrEqual(before);
  }
  await posting;
  expect(seen).toEqual(new Set(bodies.map(({ conversation_id }) => conversation_id)));
});

test('two that are closed in one order and committed in the other both come', async () => {
  await using stream = await openStream(api.url);
  const [slow, quick] = [conversation(), conversation()];
  const own = await mysql.createConnection(space.env['DATABASE_URL'] ?? '');
  await worker.stop();
  for (const body of [slow, quick]) await post(api.url, body);
  const close = async (database: Pick<mysql.Connection, 'query'>, id: string) => {
    await database.query(
      "UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL WHERE conversation_id = ?",
      [id],
    );
    await database.query(
      `INSERT INTO closed_events (event_id, closed_at)
       SELECT event_id, UTC_TIMESTAMP(3) FROM conversation_events WHERE conversation_id = ?`,
      [id],
    );
  };
  await own.query('START TRANSACTION');
  await close(own, slow.conversation_id);
  await close(space.database, quick.conversation_id);
  // Its number is higher, so that a client that saw it would never see the other.
  const second = await openStream(other.url);
  await waitFor(() => expect(second.lastId).not.toBe(''));
  expect(idsIn(stream)).not.toContain(quick.conversation_id);
  await own.query('COMMIT');
  await own.end();
  for (const one of [stream, second])
    await waitFor(() => expect(idsIn(one)).toEqual([slow.conversation_id, quick.conversation_id]));
  await second[Symbol.asyncDispose]();
  worker = await startMember('worker', space.env);
});

test('by user and by status; what is skipped by an operator comes, too', async () => {
  await worker.stop();
  const user = `user_${randomUUID()}`;
  await using ofUser = await openStream(api.url, { query: `?user_id=${user}` });
  await using skipped = await openStream(api.url, { query: '?status=SKIPPED' });
  const [mine, foreign] = [conversation({ user_id: user }), conversation()];
  for (const body of [mine, foreign]) await post(api.url, body);
  expect((await call(api.url, 'POST', `/v1/conversations/${mine.conversation_id}/skip`)).status).toBe(202);
  worker = await startMember('worker', space.env);
  await waitFor(() => expect(idsIn(ofUser)).toEqual([mine.conversation_id]));
  await waitFor(() => expect(idsIn(skipped)).toEqual([mine.conversation_id]));
  const last = conversation({ user_id: user });
  await post(api.url, last);
  await waitFor(() => expect(idsIn(ofUser)).toEqual([mine.conversation_id, last.conversation_id]));
  expect(idsIn(skipped)).toEqual([mine.conversation_id]);
});

test('an API that ends ends its streams, and the client goes on elsewhere', async () => {
  const own = await startMember('api', space.env);
  await using stream = await openStream(own.url);
  await waitFor(() => expect(stream.lastId).not.toBe(''));
  expect(await own.stop()).toBe(0);
  await stream.ended;
  const body = conversation();
  await post(api.url, body);
  await using next = await openStream(api.url, { lastId: stream.lastId });
  await waitFor(() => expect(idsIn(next)).toEqual([body.conversation_id]));
});

test('an id of another database is as good as none, and one that is no number is refused', async () => {
  await using stream = await openStream(api.url, { lastId: '999999999999' });
  const body = conversation();
  await post(api.url, body);
  await waitFor(() => expect(idsIn(stream)).toContain(body.conversation_id));
  for (const lastId of ['x', '-1', "1'; DROP TABLE closed_events", '1e9'])
    expect(await call(api.url, 'GET', '/v1/events/stream', undefined, { 'last-event-id': lastId })).toMatchObject({
      status: 422,
    });
  for (const query of ['?status=PENDING', '?user=x'])
    expect((await call(api.url, 'GET', `/v1/events/stream${query}`)).status).toBe(422);
});

test('text that could end a line or an event of the stream does not', async () => {
  await using stream = await openStream(api.url);
  const body = conversation({ bot_name: 'a\n\nevent: forged\ndata: {}\n\n', bot_id: 'b\r\n: c' });
  await post(api.url, body);
  await waitFor(() => expect(idsIn(stream)).toEqual([body.conversation_id]));
  expect(stream.seen[0]?.data).toMatchObject({ bot_name: body.bot_name, bot_id: body.bot_id });
  expect(stream.seen.map(({ type }) => type)).toEqual(['conversation.processed']);
});

test('a key that is revoked ends its streams, also one whose client takes nothing', async () => {
  const own = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { EVENT_STREAM: 'on' },
  );
  const key = await createKey(own.env, 'leaving');
  const admin = await createKey(own.env, 'admin', '--scope', 'admin');
  const members = await Promise.all([startMember('api', own.env), startMember('worker', own.env)]);
  const { url } = members[0];
  const deaf = await openRaw(url);
  deaf.write(`GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${key}\r\n\r\n`);
  expect(await deaf.statuses(1)).toEqual([200]);
  deaf.socket.pause();
  await using stream = await openStream(url, { headers: bearer(key) });
  expect((await runCommand(['keys', 'revoke', 'leaving'], own.env)).code).toBe(0);
  await vi.waitFor(
    async () => expect((await call(url, 'GET', '/v1/conversations', undefined, bearer(key))).status).toBe(401),
    { timeout: 10_000, interval: 100 },
  );
  const body = conversation();
  await post(url, body, bearer(admin));
  await stream.ended;
  expect(idsIn(stream)).toEqual([]);
  deaf.socket.resume();
  await deaf.ended;
  expect(await Promise.all(members.map((member) => member.stop()))).toEqual([0, 0]);
  await own.dispose();
});

test('a key for one user streams this user', async () => {
  const own = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { EVENT_STREAM: 'on' },
  );
  const [all, bound] = [await createKey(own.env, 'all'), await createKey(own.env, 'bound', '--user', 'user_1')];
  const members = await Promise.all([startMember('api', own.env), startMember('worker', own.env)]);
  const { url } = members[0];
  await using stream = await openStream(url, { headers: bearer(bound) });
  await using everything = await openStream(url, { headers: bearer(all) });
  const [foreign, mine] = [conversation({ user_id: 'user_2' }), conversation({ user_id: 'user_1' })];
  await post(url, foreign, bearer(all));
  await waitFor(() => expect(idsIn(everything)).toEqual([foreign.conversation_id]));
  await post(url, mine, bearer(all));
  await waitFor(() => expect(idsIn(stream)).toEqual([mine.conversation_id]));
  expect(await Promise.all(members.map((member) => member.stop()))).toEqual([0, 0]);
  await own.dispose();
});

test('without EVENT_STREAM there is no stream, and closing costs no line', async () => {
  const own = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const members = await Promise.all([startMember('api', own.env), startMember('worker', own.env)]);
  const { url } = members[0];
  expect(await call(url, 'GET', '/v1/events/stream')).toMatchObject({
    status: 404,
    body: { code: 'no_such_endpoint' },
  });
  const body = conversation();
  await post(url, body);
  await waitFor(async () =>
    expect((await call(url, 'GET', `/v1/conversations/${body.conversation_id}`)).body.status).toBe('PROCESSED'),
  );
  expect(await rows(own.database, 'SELECT seq FROM closed_events')).toEqual([]);
  expect(await Promise.all(members.map((member) => member.stop()))).toEqual([0, 0]);
  await own.dispose();
});
