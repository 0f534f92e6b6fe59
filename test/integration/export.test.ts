import { text } from 'node:stream/consumers';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { request } from 'undici';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** `GET /v1/conversations/export`: everything, as fast as the client reads. */

const n = 1_250;
let space: Namespace;
let api: Member;
let keys: { read: string; admin: string; bound: string };
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  keys = {
    read: await createKey(space.env, 'read', '--scope', 'read,submit'),
    admin: await createKey(space.env, 'admin', '--scope', 'admin'),
    bound: await createKey(space.env, 'bound', '--user', 'user_7'),
  };
  api = await startMember('api', space.env);
  for (let i = 0; i < n; i++)
    if (i % 50 === 49 || i === n - 1)
      await Promise.all(
        Array.from({ length: Math.min(50, i + 1) }, (_, k) =>
          post(
            api.url,
            conversation({
              conversation_id: `conv_${i - k}`,
              user_id: `user_${(i - k) % 10}`,
              bot_name: 'line\nbreak\u2028',
            }),
            bearer(keys.read),
          ),
        ),
      );
  // As if they had been accepted some time ago: the newest are left to the next export.
  await age();
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

/** Moves all events some months into the past, with their ids, which keep their order. */
async function age(): Promise<void> {
  for (const table of ['conversation_logs', 'conversation_events'])
    await space.database.query(`UPDATE ${table} SET event_id = CONCAT('0190', SUBSTR(event_id, 5))`);
}

async function ask(query: string, token = keys.read, headers: Record<string, string> = {}) {
  const answer = await request(`${api.url}/v1/conversations/export${query}`, {
    headers: { ...bearer(token), ...headers },
  });
  const { [`content-encoding`]: encoding } = answer.headers;
  const body =
    encoding === 'zstd'
      ? answer.body.pipe(createZstdDecompress())
      : encoding === 'gzip'
        ? answer.body.pipe(createGunzip())
        : answer.body;
  const lines = (await text(body)).split('\n');
  expect(lines.pop()).toBe('');
  return { status: answer.statusCode, headers: answer.headers, lines: lines.map((line) => JSON.parse(line)) };
}

test('every conversation is there once, in the order in which it was accepted, a line each', async () => {
  const { status, headers, lines } = await ask('');
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('application/x-ndjson; charset=utf-8');
  expect(lines).toHaveLength(n);
  expect(new Set(lines.map(({ conversation_id }) => conversation_id)).size).toBe(n);
  const ids = lines.map(({ event_id }) => event_id);
  expect(ids).toEqual(ids.toSorted());
  expect(lines[0]).toMatchObject({ status: 'PENDING', bot_name: 'line\nbreak\u2028' });
  expect(lines[0]).not.toHaveProperty('conversation_log');
});

test.each(['gzip', 'zstd'])('the same in %s', async (encoding) => {
  const { headers, lines } = await ask('', keys.read, { 'accept-encoding': encoding });
  expect(headers['content-encoding']).toBe(encoding);
  expect(lines).toHaveLength(n);
});

test('another export continues from the cursor of any line, and misses and repeats nothing', async () => {
  const all = (await ask('')).lines;
  for (const at of [0, 1, 499, 500, 1_000, n - 1]) {
    const rest = (await ask(`?cursor=${all[at].cursor}`)).lines;
    expect(rest.map(({ event_id }) => event_id)).toEqual(all.slice(at + 1).map(({ event_id }) => event_id));
  }
});

test('by status, by user, and since a time', async () => {
  await space.database.query(
    "UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL WHERE user_id = 'user_3'",
  );
  expect((await ask('?status=SKIPPED')).lines).toHaveLength(n / 10);
  expect((await ask('?status=PROCESSED')).lines).toEqual([]);
  expect((await ask('?user_id=user_4')).lines).toHaveLength(n / 10);
  expect((await ask('?user_id=user_3&status=PENDING')).lines).toEqual([]);
  expect((await ask('?since=2000-01-01T00:00:00Z')).lines).toHaveLength(n);
  expect((await ask(`?since=${new Date().toISOString()}`)).lines).toEqual([]);
});

test('what was accepted just now comes with the next export', async () => {
  expect((await post(api.url, conversation({ user_id: 'user_new' }), bearer(keys.read))).status).toBe(202);
  expect((await ask('?user_id=user_new')).lines).toEqual([]);
  await space.database.query("DELETE FROM conversation_events WHERE user_id = 'user_new'");
});

test('texts need more than a key that may read', async () => {
  const refused = await call(api.url, 'GET', '/v1/conversations/export?include=log', undefined, bearer(keys.read));
  expect(refused).toMatchObject({ status: 403, body: { code: 'scope_missing' } });
  const { lines } = await ask('?include=log,metadata&user_id=user_1', keys.admin);
  expect(lines).toHaveLength(n / 10);
  expect(lines.every(({ conversation_log }) => conversation_log.length === 2)).toBe(true);
});

test('a key for one user gets the conversations of this user', async () => {
  const { lines } = await ask('', keys.bound);
  expect(new Set(lines.map(({ user_id }) => user_id))).toEqual(new Set(['user_7']));
  expect(
    await call(api.url, 'GET', '/v1/conversations/export?user_id=user_1', undefined, bearer(keys.bound)),
  ).toMatchObject({
    status: 403,
  });
});

test.each(['?since=yesterday', '?status=LOST', '?cursor=x', '?limit=5', '?include=everything'])(
  '%s is refused',
  async (query) => {
    expect(await call(api.url, 'GET', `/v1/conversations/export${query}`, undefined, bearer(keys.read))).toMatchObject({
      status: 422,
      body: { code: 'invalid_query' },
    });
  },
);

test('more than a few at once are refused, and there is room again when one has left', async () => {
  // Each is larger than what fits on the way to a client that does not read.
  await space.database.query(`UPDATE conversation_logs SET conversation_log = CONCAT('["', REPEAT('x', 30000), '"]')`);
  const get = () => request(`${api.url}/v1/conversations/export?include=log`, { headers: bearer(keys.admin) });
  const open = [];
  for (;;) {
    const answer = await get();
    if (answer.statusCode === 503) break;
    open.push(answer);
    expect(open.length).toBeLessThanOrEqual(4);
  }
  open
    .pop()
    ?.body.on('error', () => {})
    .destroy();
  await vi.waitFor(async () => {
    const answer = await get();
    answer.body.on('error', () => {}).destroy();
    expect(answer.statusCode).toBe(200);
  });
  // Nobody holds a connection of the database meanwhile.
  expect((await call(api.url, 'GET', '/v1/conversations', undefined, bearer(keys.read))).status).toBe(200);
  for (const { body } of open) body.on('error', () => {}).destroy();
});
