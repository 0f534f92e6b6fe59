import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, rows } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { openRaw, rawPost } from '../support/raw-http.ts';

/** Clients that send too much, too slowly, nested too deeply, or never finish. No other client waits for them. */

const limit = 1_048_576;

let space: Namespace;
let api: Member;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { ACCEPT_BUFFER_BYTES: String(4 * limit) },
  );
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

/** A good body of exactly `bytes`, most of them in one text. */
function ofSize(bytes: number): string {
  const empty = JSON.stringify(conversation({ conversation_log: [{ speaker: 'user', text: '' }] }));
  return empty.replace('"text":""', `"text":"${'a'.repeat(bytes - Buffer.byteLength(empty))}"`);
}

test.each([
  ['a byte below the limit', limit - 1, 202],
  ['at the limit', limit, 202],
  ['a byte above it', limit + 1, 413],
])('a body %s', async (_name, bytes, status) => {
  const body = ofSize(bytes);
  expect(Buffer.byteLength(body)).toBe(bytes);
  expect((await post(api.url, body)).status).toBe(status);
  // The same in chunks, with no declared length.
  const client = await openRaw(api.url);
  client.write(rawPost(null, { 'transfer-encoding': 'chunked' }));
  for (let at = 0; at < body.length; at += 65_536) {
    const chunk = body.slice(at, at + 65_536);
    client.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  }
  client.write('0\r\n\r\n');
  expect(await client.statuses(1)).toEqual([status]);
  client.socket.destroy();
});

test.each([
  ['lists', `{"metadata":${'['.repeat(250_000)}${']'.repeat(250_000)}}`, 422],
  ['objects', `{"conversation_log":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}`, 422],
  ['lists without end', '['.repeat(1_000_000), 400],
])('%s nested far too deeply', async (_name, body, status) => {
  expect((await post(api.url, body)).status).toBe(status);
});

test('an unknown field may nest as deeply as it likes: it is ignored', async () => {
  const body = JSON.stringify(conversation()).replace('{', `{"unknown":${'['.repeat(200_000)}${']'.repeat(200_000)},`);
  expect((await post(api.url, body)).status).toBe(202);
});

test('a key given twice counts as its last, and __proto__ is a key like any other', async () => {
  const body = conversation();
  const text = JSON.stringify({ ...body, user_id: 'first' }).replace(
    /}$/,
    ',"user_id":"second","__proto__":{"status":"PROCESSED"},"metadata":{"__proto__":{"user_initiated_questions":9}}}',
  );
  const answer = await post(api.url, text);
  expect(answer.status).toBe(202);
  expect(
    await rows(space.database, 'SELECT user_id, status FROM conversation_events WHERE event_id = ?', [
      answer.body.event_id,
    ]),
  ).toEqual([{ user_id: 'second', status: 'PENDING' }]);
  expect((await post(api.url, conversation())).status).toBe(202);
});

test('requests sent ahead on one connection are answered in their order', async () => {
  const client = await openRaw(api.url);
  const good = JSON.stringify(conversation());
  const requests = [good, '{"broken', good, '{}', JSON.stringify(conversation())];
  client.write(requests.map((body) => rawPost(body, { 'content-length': Buffer.byteLength(body) })).join(''));
  expect(await client.statuses(5)).toEqual([202, 400, 202, 422, 202]);
  client.socket.destroy();
});

test('many clients that announce large bodies and send little do not lock others out', async () => {
  // Together they announce 50 times the most that is held.
  const lazy = await Promise.all(Array.from({ length: 200 }, () => openRaw(api.url)));
  for (const [i, client] of lazy.entries()) {
    if (i % 2) client.write(rawPost('{"conversation_id":', { 'content-length': limit }));
    else client.write(`${rawPost(null, { 'transfer-encoding': 'chunked' })}5\r\n{"con\r\n`);
  }
  await vi.waitFor(async () => expect(await held('request_body_bytes')).toBeGreaterThan(1_000), { timeout: 10_000 });
  for (let i = 0; i < 20; i++) expect((await post(api.url, conversation())).status).toBe(202);
  for (const client of lazy) client.socket.destroy();
  await vi.waitFor(async () => expect(await held('request_body_bytes')).toBe(0), { timeout: 10_000 });
});

test('bodies that exceed the buffer are refused midway with 503; the API then accepts again', async () => {
  const greedy = await Promise.all(Array.from({ length: 12 }, () => openRaw(api.url)));
  for (const client of greedy) client.write(rawPost('a'.repeat(limit / 2), { 'content-length': limit }));
  await vi.waitFor(
    () => expect(greedy.filter((client) => client.seen().includes(503)).length).toBeGreaterThanOrEqual(4),
    {
      timeout: 10_000,
    },
  );
  expect(greedy.every((client) => client.seen().every((status) => status === 503))).toBe(true);
  expect(await held('request_body_bytes')).toBeLessThanOrEqual(4 * limit);
  for (const client of greedy) client.socket.destroy();
  await vi.waitFor(async () => expect(await held('request_body_bytes')).toBe(0), { timeout: 10_000 });
  expect((await post(api.url, conversation())).status).toBe(202);
});

test('a body in pieces of one byte counts as what the pieces take, not as what they say', async () => {
  const client = await openRaw(api.url);
  client.write(rawPost(null, { 'transfer-encoding': 'chunked' }));
  // Of 4 MiB, these would take three times as much.
  for (let i = 0; i < 20; i++) client.write('1\r\nx\r\n'.repeat(1_000));
  expect(await client.statuses(1)).toEqual([503]);
  await client.ended;
  expect((await post(api.url, conversation())).status).toBe(202);
});

test('a client that never finishes its body is disconnected, and a drain does not wait for it', async () => {
  const own = await startMember('api', { ...space.env, DRAIN_MS: '500' });
  const client = await openRaw(own.url);
  client.write(rawPost('{"a"', { 'content-length': 500 }));
  await vi.waitFor(async () => expect(await held('request_body_bytes', own.url)).toBe(640), { timeout: 10_000 });
  expect(await own.stop()).toBe(0);
  await client.ended;
});

async function held(name: string, url = api.url): Promise<number> {
  const { body } = await call(url, 'GET', '/health/detailed');
  return body.queues.find((queue: { name: string }) => queue.name === name).held;
}

test.each([
  ['not HTTP', 'GET / HELLO/9\r\n\r\n', 400, 'bad_request'],
  ['a method that HTTP does not have', 'FETCH / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'unknown_method'],
  ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n', 400, 'host_missing'],
  [
    'headers without end',
    `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  [
    'an unknown expectation',
    'POST /v1/conversations/end HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}',
    417,
    'unknown_expectation',
  ],
  [
    'a body that will be too large, announced',
    rawPost(null, { 'content-length': limit + 1, expect: '100-continue' }),
    413,
    'body_too_large',
  ],
  [
    'a path that takes another method',
    'DELETE /v1/conversations/end HTTP/1.1\r\nHost: a\r\n\r\n',
    405,
    'method_not_allowed',
  ],
])('%s is answered with a problem document', async (_name, bytes, status, code) => {
  const client = await openRaw(api.url);
  client.write(bytes);
  expect(await client.statuses(1)).toEqual([status]);
  await vi.waitFor(() => expect(client.text()).toContain(`"code":"${code}"`));
  expect(client.text()).toMatch(/content-type: application\/problem\+json/i);
  client.socket.destroy();
});

test('a path says which methods it allows, and the root says where to look', async () => {
  const { status, headers } = await call(api.url, 'GET', '/v1/conversations/c/skip');
  expect([status, headers['allow']]).toEqual([405, 'POST']);
  expect((await call(api.url, 'POST', '/readyz')).headers['allow']).toBe('GET, HEAD');
  expect((await call(api.url, 'GET', '/nothing/here')).status).toBe(404);
  expect((await call(api.url, 'GET', '/')).body).toMatchObject({
    name: 'afterword',
    version: expect.any(String),
    links: { ready: '/readyz' },
  });
});
