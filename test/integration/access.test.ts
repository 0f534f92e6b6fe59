import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { newToken } from '../../src/access/index.ts';
import { call, conversation, post, rows } from '../support/client.ts';
import { operations } from '../support/contract.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Who may do what with an API that has keys. */

const secret = 'a secret of the tests';
let space: Namespace;
let api: Member;
let other: Member;
let keys: Record<'submit' | 'read' | 'operate' | 'admin' | 'both' | 'bound' | 'tenant', string>;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { API_KEY_SECRET: secret, REDIS_URL: inject('redisUrl'), EVENT_STREAM: 'on' },
  );
  const create = (name: string, ...options: string[]) => createKey(space.env, name, ...options);
  keys = {
    submit: await create('submit', '--scope', 'submit'),
    read: await create('read', '--scope', 'read'),
    operate: await create('operate', '--scope', 'operate'),
    admin: await create('admin', '--scope', 'admin'),
    both: await create('both'),
    bound: await create('bound', '--user', 'user_bound'),
    tenant: await create('tenant', '--user', 'acme-*'),
  };
  [api, other] = await Promise.all([startMember('api', space.env), startMember('api', space.env)]);
});
afterAll(async () => {
  expect(await Promise.all([api.stop(), other.stop()])).toEqual([0, 0]);
  await space.dispose();
});

const paths = operations
  .filter(({ tag }) => tag !== 'Diagnostics')
  .map(({ method, path, scope }) => ({ method, path: path.replaceAll(/\{\w+\}/g, 'an_id'), scope }));
const ask = (method: string, path: string, token?: string) =>
  call(
    api.url,
    method.toUpperCase() as 'GET' | 'POST',
    path,
    method === 'get' ? undefined : {},
    token === undefined ? {} : bearer(token),
  );

describe.each(paths.filter(({ scope }) => scope !== null))('$method $path', ({ method, path, scope }) => {
  test('no key: 401, which says how to send one', async () => {
    const answer = await ask(method, path);
    expect(answer).toMatchObject({ status: 401, body: { code: 'key_missing' } });
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="afterword"');
  });

  test.each(['submit', 'read', 'operate', 'admin'] as const)('a key with %s', async (held) => {
    // A stream does not end (stream.test.ts).
    if (path === '/v1/events/stream' && (held === scope || held === 'admin')) return;
    const answer = await ask(method, path, keys[held]);
    if (held === scope || held === 'admin') return expect([401, 403]).not.toContain(answer.status);
    expect(answer).toMatchObject({ status: 403, body: { code: 'scope_missing' } });
    expect(answer.headers['www-authenticate']).toBe(`Bearer error="insufficient_scope", scope="${scope}"`);
  });
});

test.each(paths.filter(({ scope }) => scope === null))('$method $path needs no key', async ({ method, path }) => {
  expect([401, 403]).not.toContain((await ask(method, path)).status);
});

test('whatever is not in the document is closed, too', async () => {
  for (const path of ['/v1/anything', '/v1', '/admin', '/v1/conversations/x/y/z'])
    expect(await ask('get', path)).toMatchObject({ status: 401 });
  expect(await ask('get', '/v1/anything', keys.read)).toMatchObject({ status: 404 });
  expect(await ask('post', '/v1/conversations', keys.read)).toMatchObject({
    status: 405,
    headers: { allow: 'GET, HEAD' },
  });
  expect(await ask('get', '/v1/anything', keys.admin)).toMatchObject({ status: 404 });
});

test.each([
  ['another scheme', () => 'Basic dXNlcjpwYXNz'],
  ['no scheme', () => keys.admin],
  ['two tokens', () => `Bearer ${keys.admin} ${keys.admin}`],
  ['nothing after the scheme', () => 'Bearer '],
  ['another text', () => 'Bearer secret'],
  ['a wrong checksum', () => `Bearer ${keys.admin.slice(0, -1)}${keys.admin.endsWith('a') ? 'b' : 'a'}`],
  ['one that was never created', () => `Bearer ${newToken().token}`],
])('malformed: %s', async (_, authorization) => {
  const answer = await call(api.url, 'GET', '/v1/conversations', undefined, { authorization: authorization() });
  expect(answer).toMatchObject({ status: 401, body: { code: 'key_invalid' } });
  expect(answer.headers['www-authenticate']).toContain('error="invalid_token"');
});

test('a key that was made with another API_KEY_SECRET is refused, and the log says why', async () => {
  const token = await createKey({ ...space.env, API_KEY_SECRET: 'another secret of the tests' }, 'other secret');
  expect(await ask('get', '/v1/conversations', token)).toMatchObject({ status: 401, body: { code: 'key_invalid' } });
  await vi.waitFor(() => expect(api.lines.join('\n')).toContain('made with another API_KEY_SECRET'));
});

test('the database has no token, and no hash that could be made without the secret', async () => {
  const stored = await rows<Record<string, unknown>>(space.database, 'SELECT * FROM api_keys');
  const text = JSON.stringify(stored);
  for (const token of Object.values(keys)) expect(text).not.toContain(token.slice(21));
  expect(stored.every(({ hashed_with }) => String(hashed_with).length === 8)).toBe(true);
});

test('no token is ever in a log line or in an answer', async () => {
  const token = newToken().token;
  const answers = [
    await ask('get', '/v1/conversations', token),
    await call(api.url, 'GET', `/v1/conversations?api_key=${token}`, undefined, bearer(keys.read)),
    await call(api.url, 'GET', `/v1/conversations/${token}`, undefined, bearer(keys.read)),
    await call(api.url, 'POST', '/v1/conversations/end', { user_id: token }, bearer(keys.submit)),
  ];
  expect(answers.map(({ status }) => status)).toEqual([401, 422, 404, 422]);
  for (const used of [token, ...Object.values(keys)]) {
    expect([...api.lines, ...other.lines].join('\n')).not.toContain(used);
    expect(JSON.stringify(answers)).not.toContain(used);
  }
});

test('one in the query instead of the header is none', async () => {
  expect(await call(api.url, 'GET', `/v1/conversations?access_token=${keys.read}`)).toMatchObject({ status: 401 });
});

describe('a key for one user', () => {
  const own = conversation({ user_id: 'user_bound' });
  const foreign = conversation({ user_id: 'user_foreign' });
  const with_ = (token: string) => bearer(token);

  test('submits for this user and for nobody else', async () => {
    expect(await post(api.url, own, with_(keys.bound))).toMatchObject({ status: 202 });
    expect(await post(api.url, foreign, with_(keys.bound))).toMatchObject({
      status: 403,
      body: { code: 'other_user' },
    });
    expect(await post(api.url, foreign, with_(keys.both))).toMatchObject({ status: 202 });
    expect(await call(api.url, 'POST', '/v1/conversations/score', foreign, with_(keys.bound))).toMatchObject({
      status: 403,
    });
  });

  test('does not learn that conversations of others exist', async () => {
    const get = (id: string) => call(api.url, 'GET', `/v1/conversations/${id}`, undefined, with_(keys.bound));
    expect(await get(own.conversation_id)).toMatchObject({ status: 200 });
    const [hidden, missing] = [await get(foreign.conversation_id), await get('conv_that_never_was')];
    expect(hidden.status).toBe(404);
    expect({ ...hidden.body, request_id: '' }).toEqual({ ...missing.body, request_id: '' });
  });

  test('lists its own, whatever the query says', async () => {
    const list = (query: string) => call(api.url, 'GET', `/v1/conversations${query}`, undefined, with_(keys.bound));
    const { body } = await list('');
    expect(body.conversations.map(({ user_id }: { user_id: string }) => user_id)).toEqual(['user_bound']);
    expect(await list('?user_id=user_foreign')).toMatchObject({ status: 403 });
    expect(await call(api.url, 'GET', '/v1/users/user_foreign/friendship', undefined, with_(keys.bound))).toMatchObject(
      {
        status: 403,
      },
    );
  });

  test('or for all whose id begins so', async () => {
    const submit = (userId: string) => post(api.url, conversation({ user_id: userId }), with_(keys.tenant));
    expect((await submit('acme-1')).status).toBe(202);
    expect((await submit('acme')).status).toBe(403);
    expect((await submit('ACME-1')).status).toBe(403);
    const list = (query: string) => call(api.url, 'GET', `/v1/conversations${query}`, undefined, with_(keys.tenant));
    expect(await list('')).toMatchObject({ status: 403, body: { code: 'other_user' } });
    expect((await list('?user_id=acme-1')).body.conversations).toHaveLength(1);
  });

  test('cannot be one that sees or changes everything', async () => {
    const { code, output } = await runCommand(['keys', 'create', 'x', '--scope', 'admin', '--user', 'u_1'], space.env);
    expect({ code, output }).toEqual({
      code: 2,
      output: expect.stringContaining('only have the scopes submit and read'),
    });
  });
});

describe('over time', () => {
  const works = async (base: string, token: string) =>
    (await call(base, 'GET', '/v1/conversations', undefined, bearer(token))).status;

  test('a key works at once in every API, and a revoked one in none within seconds', async () => {
    const token = await createKey(space.env, 'short-lived');
    expect([await works(api.url, token), await works(other.url, token)]).toEqual([200, 200]);
    expect(await runCommand(['keys', 'revoke', 'short-lived'], space.env)).toMatchObject({ code: 0 });
    await vi.waitFor(
      async () => expect([await works(api.url, token), await works(other.url, token)]).toEqual([401, 401]),
      { timeout: 5_000, interval: 100 },
    );
    expect((await ask('get', '/v1/conversations', token)).body.code).toBe('key_revoked');
    expect(await runCommand(['keys', 'revoke', 'short-lived'], space.env)).toMatchObject({ code: 2 });
  });

  test('a key ends when it expires', async () => {
    const token = await createKey(space.env, 'expiring', '--expires', '2s');
    expect(await works(api.url, token)).toBe(200);
    await vi.waitFor(async () => expect(await works(api.url, token)).toBe(401), { timeout: 10_000, interval: 100 });
    expect((await ask('get', '/v1/conversations', token)).body.code).toBe('key_expired');
    // Its name is free again.
    expect(await works(api.url, await createKey(space.env, 'expiring'))).toBe(200);
  });

  test('during a rotation both tokens are valid; the older one ends, and the rights stay', async () => {
    const before = await createKey(space.env, 'rotating', '--scope', 'read');
    const { output } = await runCommand(['keys', 'rotate', 'rotating', '--grace', '3s'], space.env);
    const after = output.split('\n').find((line) => line.startsWith('afw_live_')) ?? '';
    expect([await works(api.url, before), await works(api.url, after)]).toEqual([200, 200]);
    await vi.waitFor(async () => expect(await works(api.url, before)).toBe(401), { timeout: 10_000, interval: 100 });
    expect(await works(api.url, after)).toBe(200);
    expect(await post(api.url, conversation(), bearer(after))).toMatchObject({ status: 403 });
    expect(await runCommand(['keys', 'create', 'rotating'], space.env)).toMatchObject({ code: 2 });
  });

  test('while the database is away, what was known counts', async () => {
    // Keys are in memory: a refused one costs the database nothing.
    const before = await rows<{ n: number }>(space.database, 'SELECT COUNT(*) AS n FROM api_keys');
    const answers = await Promise.all(Array.from({ length: 200 }, () => works(api.url, newToken().token)));
    expect(new Set(answers)).toEqual(new Set([401]));
    expect(await rows(space.database, 'SELECT COUNT(*) AS n FROM api_keys')).toEqual(before);
  });
});

test('what an operator does is recorded under the name of the key', async () => {
  const body = conversation();
  expect((await post(api.url, body, bearer(keys.both))).status).toBe(202);
  const skipped = await call(
    api.url,
    'POST',
    `/v1/conversations/${body.conversation_id}/skip`,
    { reason: 'a test' },
    bearer(keys.operate),
  );
  expect(skipped.status).toBe(202);
  const { output } = await runCommand(['actions', '--json'], space.env);
  const { actions } = JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '{}');
  expect(actions[0]).toMatchObject({
    action: 'skip',
    actor: expect.stringMatching(/^key operate \([0-9A-Za-z]{12}\)$/),
    target: body.conversation_id,
    value: 'a test',
  });
  expect(actions.map(({ action }: { action: string }) => action)).toEqual(
    expect.arrayContaining(['key-create', 'key-revoke', 'key-rotate']),
  );
});
