import { fileURLToPath } from 'node:url';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, postAll, rows } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';

/** Webhooks: everybody who wants to know is told of each closed conversation, once, whatever fails. */

let space: Namespace;
let api: Member;
let worker: Member;
let receiver: Receiver;
beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      WEBHOOK_ALLOW: '127.0.0.1',
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      MAX_ATTEMPTS: '1',
    },
  );
  [api, worker] = await Promise.all([startMember('api', space.env), startMember('worker', space.env)]);
  receiver = await startReceiver();
});
afterAll(async () => {
  expect(await Promise.all([api.stop(), worker.stop()])).toEqual([0, 0]);
  await receiver[Symbol.asyncDispose]();
  await space.dispose();
});
beforeEach(async () => {
  for (const { endpoint_id } of (await call(api.url, 'GET', '/v1/webhooks')).body.webhooks)
    expect((await call(api.url, 'DELETE', `/v1/webhooks/${endpoint_id}`)).status).toBe(204);
  receiver.behave(null);
});

const waitFor = <T>(check: () => T | Promise<T>, timeout = 30_000) => vi.waitFor(check, { timeout, interval: 50 });

/** Registers an endpoint, and waits until the worker knows that somebody wants to know. */
async function register(body: Record<string, unknown> = {}, at = receiver) {
  const before = at.received.length;
  const types = ['conversation.processed', 'conversation.failed', 'friendship.level_changed'];
  const answer = await call(api.url, 'POST', '/v1/webhooks', { url: at.url, types, ...body });
  expect(answer.status).toBe(201);
  await waitFor(async () => {
    const user = String(body['user'] ?? 'user_probe').replace('*', 'probe');
    const probe = conversation({ user_id: user });
    await post(api.url, probe);
    await waitFor(async () => expect(await statusOf(probe.conversation_id)).not.toMatch(/PENDING|PROCESSING/));
    const deliveries = await deliveriesOf(answer.body.endpoint_id);
    expect(deliveries.length).toBeGreaterThan(0);
    for (const { state } of deliveries) expect(state).not.toBe('PENDING');
  });
  return { id: answer.body.endpoint_id as string, secret: answer.body.secret as string, before };
}
const statusOf = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${id}`)).body.status as string;
const deliveriesOf = async (id: string, query = '') =>
  (await call(api.url, 'GET', `/v1/webhooks/${id}/deliveries?limit=200${query}`)).body.deliveries as any[];
const toldOf = (id: string, from = receiver) =>
  from.received
    .map(({ headers, body }) => ({ headers, body, told: JSON.parse(body) }))
    .filter(({ told }) => told.data?.conversation_id === id);
/** As if time had passed. */
const pass = (hours: number) =>
  space.database.query(
    `UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at - INTERVAL ${hours * 3_600} SECOND
     WHERE next_attempt_at IS NOT NULL`,
  );

test('a conversation that is processed is told once, signed so that the official library verifies it', async () => {
  const { secret } = await register();
  const body = conversation();
  await post(api.url, body);
  await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(1));
  const [told] = toldOf(body.conversation_id);
  const { body: status } = await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`);
  expect(told?.told).toEqual({ type: 'conversation.processed', timestamp: expect.any(String), data: status });
  const verifier = new Webhook(secret);
  const headers = told?.headers as Record<string, string>;
  expect(verifier.verify(told?.body ?? '', headers)).toEqual(told?.told);
  // Neither another body, nor another secret, nor an old message passes.
  for (const forged of [
    () => verifier.verify(`${told?.body} `, headers),
    () => new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw').verify(told?.body ?? '', headers),
    () => verifier.verify(told?.body ?? '', { ...headers, 'webhook-id': 'msg_0' }),
    () => verifier.verify(told?.body ?? '', { ...headers, 'webhook-timestamp': '1700000000' }),
  ])
    expect(forged).toThrow(WebhookVerificationError);
});

test('what fails and what changes a level is told, too, to who wants to know it', async () => {
  const { id } = await register({
    types: ['conversation.failed', 'friendship.level_changed', 'conversation.processed'],
  });
  const onlyFailed = await call(api.url, 'POST', '/v1/webhooks', { url: receiver.url, types: ['conversation.failed'] });
  const failing = conversation({ metadata: { act: 'throw' } });
  await space.database.query(
    `INSERT INTO friendship_status (user_id, friendship_score, updated_at)
     VALUES ('user_rising', 499, UTC_TIMESTAMP(3))`,
  );
  const rising = conversation({ user_id: 'user_rising' });
  for (const body of [failing, rising]) await post(api.url, body);
  await waitFor(() => expect(toldOf(rising.conversation_id)).toHaveLength(2));
  expect(toldOf(rising.conversation_id).map(({ told }) => told)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: 'conversation.processed' }),
      expect.objectContaining({
        type: 'friendship.level_changed',
        data: {
          user_id: 'user_rising',
          from: 'PHASE1_STRANGER',
          to: 'PHASE2_ACQUAINTANCE',
          conversation_id: rising.conversation_id,
          event_id: expect.any(String),
        },
      }),
    ]),
  );
  await waitFor(() => expect(toldOf(failing.conversation_id)).toHaveLength(2));
  expect(new Set(toldOf(failing.conversation_id).map(({ told }) => told.type))).toEqual(
    new Set(['conversation.failed']),
  );
  expect((await deliveriesOf(onlyFailed.body.endpoint_id)).map(({ type }) => type)).toEqual(['conversation.failed']);
  expect((await deliveriesOf(id)).filter(({ type }) => type === 'conversation.failed')).toHaveLength(1);
});

test('an endpoint for some users is told of them only', async () => {
  const { id } = await register({ user: 'acme-*' });
  const [mine, foreign] = [conversation({ user_id: 'acme-1' }), conversation({ user_id: 'other' })];
  for (const body of [foreign, mine]) await post(api.url, body);
  await waitFor(() => expect(toldOf(mine.conversation_id)).toHaveLength(1));
  expect(toldOf(foreign.conversation_id)).toEqual([]);
  expect((await deliveriesOf(id)).every(({ state }) => state === 'DELIVERED')).toBe(true);
});

test('a receiver that fails for an hour gets everything afterwards, each message under its old id', async () => {
  const { id } = await register();
  receiver.behave((response) => response.writeHead(503, { 'retry-after': '1' }).end());
  const bodies = Array.from({ length: 6 }, () => conversation());
  await postAll(api.url, bodies);
  const pending = () => deliveriesOf(id, '&state=PENDING');
  await waitFor(async () => expect((await pending()).filter((one) => one.attempts.length >= 1)).toHaveLength(6));
  // The first repeats come after five seconds, five minutes and half an hour.
  for (const attempts of [2, 3, 4]) {
    await pass(1);
    await waitFor(async () => expect((await pending()).every((one) => one.attempts.length >= attempts)).toBe(true));
  }
  const { body: endpoint } = await call(api.url, 'GET', `/v1/webhooks/${id}`);
  expect(endpoint).toMatchObject({ state: 'enabled', failing_since: expect.any(String) });
  receiver.behave(null);
  await pass(24);
  await waitFor(async () => expect(await pending()).toEqual([]));
  for (const { conversation_id } of bodies) {
    const told = toldOf(conversation_id);
    expect(new Set(told.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(told.length).toBeGreaterThanOrEqual(5);
  }
  expect((await call(api.url, 'GET', `/v1/webhooks/${id}`)).body.failing_since).toBeNull();
  const delivered = (await deliveriesOf(id, '&state=DELIVERED')).filter((one) => one.attempts.length > 1);
  expect(delivered[0]?.attempts.map(({ status }: any) => status)).toEqual([503, 503, 503, 503, 204]);
});

test('one that is dead, silent or redirects delays nobody, and is not followed', async () => {
  const [silent, redirecting] = [await startReceiver(), await startReceiver()];
  silent.behave(() => {});
  redirecting.behave((response) => response.writeHead(307, { location: receiver.url }).end());
  const others = [{ url: silent.url }, { url: redirecting.url }, { url: 'http://127.0.0.1:1/' }];
  const ids: string[] = [];
  for (const { url } of others)
    ids.push(
      (await call(api.url, 'POST', '/v1/webhooks', { url, types: ['conversation.processed'] })).body.endpoint_id,
    );
  await register();
  const bodies = Array.from({ length: 30 }, () => conversation());
  await postAll(api.url, bodies);
  await waitFor(() => {
    for (const { conversation_id } of bodies) expect(toldOf(conversation_id)).toHaveLength(1);
  }, 12_000);
  expect(silent.mostAtOnce).toBeLessThanOrEqual(5);
  const [, redirected, dead] = ids;
  const errorsOf = async (id = '') => (await deliveriesOf(id)).map(({ attempts }) => attempts[0]?.error);
  await waitFor(async () => expect(await errorsOf(dead)).toContain('cannot be reached'));
  expect((await deliveriesOf(redirected ?? '')).every(({ state }) => state === 'PENDING')).toBe(true);
  await Promise.all([silent, redirecting].map((one) => one[Symbol.asyncDispose]()));
});

test('410 disables an endpoint; enabled again, it gets what has waited, and what is replayed', async () => {
  const { id } = await register();
  receiver.behave((response) => response.writeHead(410).end());
  const body = conversation();
  await post(api.url, body);
  await waitFor(async () =>
    expect((await call(api.url, 'GET', `/v1/webhooks/${id}`)).body).toMatchObject({
      state: 'disabled',
      disabled_why: expect.stringContaining('410'),
    }),
  );
  receiver.behave(null);
  const before = toldOf(body.conversation_id).length;
  expect((await call(api.url, 'PATCH', `/v1/webhooks/${id}`, { state: 'enabled' })).body).toMatchObject({
    state: 'enabled',
    disabled_why: null,
  });
  // What disabled it has waited, and is sent.
  await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(before + 1));
  await waitFor(async () => expect(await deliveriesOf(id, '&state=PENDING')).toEqual([]));
  // By its id, and by a time.
  const [last] = await deliveriesOf(id);
  for (const selection of [{ ids: [last.delivery_id] }, { since: last.created_at }]) {
    const already = toldOf(body.conversation_id).length;
    expect((await call(api.url, 'POST', `/v1/webhooks/${id}/replay`, selection)).body).toEqual({
      replayed: 1,
      next_cursor: null,
    });
    await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(already + 1));
  }
  expect((await call(api.url, 'POST', `/v1/webhooks/${id}/replay`, {})).status).toBe(422);
});

test('an API that dies with messages on their way: another makes them again, and none is lost', async () => {
  const own = await startMember('api', space.env, { mayDie: true });
  const { id } = await register();
  receiver.behave(() => {}); // takes them, and never answers
  const bodies = Array.from({ length: 10 }, () => conversation());
  await postAll(api.url, bodies);
  await waitFor(() => expect(bodies.flatMap((one) => toldOf(one.conversation_id)).length).toBeGreaterThan(4));
  own.signal('SIGKILL');
  await own.ended;
  receiver.behave(null);
  await waitFor(async () => {
    await pass(0.1);
    for (const { conversation_id } of bodies) expect(toldOf(conversation_id).length).toBeGreaterThan(0);
    expect(await deliveriesOf(id, '&state=PENDING')).toEqual([]);
  }, 60_000);
  const counts = await rows<{ n: number }>(
    space.database,
    'SELECT COUNT(*) AS n FROM webhook_deliveries WHERE endpoint_id = ? GROUP BY event_id, type HAVING n > 1',
    [id],
  );
  expect(counts).toEqual([]);
});

test('a receiver that takes its time gets the next message as soon as there is room', async () => {
  await register();
  receiver.behave((response) => void setTimeout(() => response.writeHead(204).end(), 200));
  const bodies = Array.from({ length: 100 }, () => conversation());
  await postAll(api.url, bodies);
  // A look a second, five at a time, would take twenty seconds.
  await waitFor(() => {
    for (const { conversation_id } of bodies) expect(toldOf(conversation_id)).toHaveLength(1);
  }, 15_000);
});

test('an API that is told to stop counts no attempt that it cut off itself', async () => {
  const own = await startMember('api', { ...space.env, DRAIN_MS: '100' });
  const { id } = await register();
  receiver.behave(() => {}); // takes them, and never answers
  const body = conversation();
  await post(api.url, body);
  await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(1));
  expect(await own.stop()).toBe(0);
  expect(await api.stop()).toBe(0);
  const [row] = await rows<{ state: string; attempts: string | null }>(
    space.database,
    `SELECT state, attempts FROM webhook_deliveries d JOIN conversation_events e USING (event_id)
     WHERE conversation_id = ? AND endpoint_id = ?`,
    [body.conversation_id, id],
  );
  expect(row).toEqual({ state: 'PENDING', attempts: null });
  api = await startMember('api', space.env);
});

test('a replay takes ten thousand at once, the oldest first, and goes on where it ended', async () => {
  const { id } = await register();
  await call(api.url, 'PATCH', `/v1/webhooks/${id}`, { state: 'disabled' });
  const since = new Date(Date.now() - 3_600_000);
  await space.database.query(
    `INSERT INTO webhook_deliveries (endpoint_id, event_id, type, state, created_at, closed_at)
     WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     SELECT ?, (SELECT event_id FROM conversation_events LIMIT 1), 'conversation.processed', 'DELIVERED',
       ? + INTERVAL n.i SECOND, UTC_TIMESTAMP(3) FROM n
       CROSS JOIN (WITH RECURSIVE m AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM m WHERE i < 12) SELECT i FROM m) m`,
    [id, since],
  );
  const replay = async (body: object) => (await call(api.url, 'POST', `/v1/webhooks/${id}/replay`, body)).body;
  const selection = { since: since.toISOString(), until: new Date(since.getTime() + 1_800_000).toISOString() };
  const first = await replay(selection);
  expect(first).toEqual({ replayed: 10_000, next_cursor: expect.any(String) });
  expect(await replay({ ...selection, cursor: first.next_cursor })).toEqual({ replayed: 1_988, next_cursor: null });
  const [left] = await rows<{ n: number }>(
    space.database,
    `SELECT COUNT(*) AS n FROM webhook_deliveries WHERE endpoint_id = ? AND state <> 'PENDING'
     AND created_at BETWEEN ? AND ?`,
    [id, since, new Date(since.getTime() + 1_800_000)],
  );
  expect(left?.n).toBe(0);
});

test('one receiver is not registered twice for the same: a repeated request is told so', async () => {
  const body = { url: receiver.url, types: ['conversation.failed', 'conversation.processed'] };
  const { body: first } = await call(api.url, 'POST', '/v1/webhooks', body);
  expect(await call(api.url, 'POST', '/v1/webhooks', { ...body, types: body.types.toReversed() })).toMatchObject({
    status: 409,
    body: { code: 'webhook_exists', detail: expect.stringContaining(first.endpoint_id) },
  });
  expect((await call(api.url, 'POST', '/v1/webhooks', { ...body, user: 'acme-*' })).status).toBe(201);
});

test('an answer counts as soon as its status is there', async () => {
  const { id } = await register();
  receiver.behave((response) => void response.writeHead(200).write('and so on'));
  const body = conversation();
  await post(api.url, body);
  await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(1));
  await waitFor(async () => expect(await deliveriesOf(id, '&state=PENDING')).toEqual([]), 10_000);
  expect(toldOf(body.conversation_id)).toHaveLength(1);
});

test('during rotations all secrets sign that anybody may know', async () => {
  const { id, secret } = await register();
  // The answer of the first is lost, and it is made again.
  await call(api.url, 'POST', `/v1/webhooks/${id}/rotate`);
  const next = (await call(api.url, 'POST', `/v1/webhooks/${id}/rotate`)).body.secret as string;
  const body = conversation();
  await post(api.url, body);
  await waitFor(() => expect(toldOf(body.conversation_id)).toHaveLength(1));
  const [told] = toldOf(body.conversation_id);
  for (const key of [secret, next])
    expect(new Webhook(key).verify(told?.body ?? '', told?.headers as Record<string, string>)).toBeTruthy();
  // Without a time in which both sign, the others end at once.
  const { body: last } = await call(api.url, 'POST', `/v1/webhooks/${id}/rotate`, { grace_seconds: 0 });
  const other = conversation();
  await post(api.url, other);
  await waitFor(() => expect(toldOf(other.conversation_id)).toHaveLength(1));
  const [after] = toldOf(other.conversation_id);
  const verify = (key: string) => new Webhook(key).verify(after?.body ?? '', after?.headers as Record<string, string>);
  expect(verify(last.secret)).toBeTruthy();
  for (const key of [secret, next]) expect(() => verify(key)).toThrow(WebhookVerificationError);
});

test('a test message says how it was answered, and is signed', async () => {
  const { id, secret } = await register();
  expect((await call(api.url, 'POST', `/v1/webhooks/${id}/test`)).body).toMatchObject({ delivered: true, status: 204 });
  const last = receiver.received.at(-1);
  expect(new Webhook(secret).verify(last?.body ?? '', last?.headers as Record<string, string>)).toMatchObject({
    type: 'webhook.test',
  });
  receiver.behave((response) => response.writeHead(500).end('secret of the receiver'));
  const failed = await call(api.url, 'POST', `/v1/webhooks/${id}/test`);
  expect(failed.body).toMatchObject({ delivered: false, status: 500, error: 'not a success' });
  expect(JSON.stringify(failed.body)).not.toContain('secret of the receiver');
});

test('by default, nothing beyond the internet is a target: refused at once, or never reached', async () => {
  const own = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const strict = await startMember('api', own.env);
  const register = (url: string) =>
    call(strict.url, 'POST', '/v1/webhooks', { url, types: ['conversation.processed'] });
  for (const url of [
    'https://10.0.0.1/x',
    'http://169.254.169.254/latest',
    'http://example.com/',
    'file:///etc/passwd',
  ])
    expect(await register(url)).toMatchObject({ status: 422, body: { errors: [{ pointer: '/url' }] } });
  const { body } = await register('https://localhost/x');
  expect((await call(strict.url, 'POST', `/v1/webhooks/${body.endpoint_id}/test`)).body).toMatchObject({
    delivered: false,
    status: null,
    error: 'localhost leads to a private address',
  });
  expect(await strict.stop()).toBe(0);
  await own.dispose();
});

test.each([
  { types: ['conversation.processed'] },
  { url: 'https://example.com/' },
  { url: 'https://example.com/', types: [] },
  { url: 'https://example.com/', types: ['everything'] },
  { url: 'https://example.com/', types: ['conversation.failed'], user: '*' },
  { url: 'https://example.com/', types: ['conversation.failed'], user: 'half \ud83d' },
  { url: 'https://example.com/', types: ['conversation.failed'], secret: 'mine' },
])('%j is refused', async (body) => {
  expect((await call(api.url, 'POST', '/v1/webhooks', body)).status).toBe(422);
});

test('only an admin may, and the actions are recorded; secrets are shown once', async () => {
  const own = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const [operate, admin] = [
    await createKey(own.env, 'operate', '--scope', 'operate,read,submit'),
    await createKey(own.env, 'admin', '--scope', 'admin'),
  ];
  const keyed = await startMember('api', own.env);
  const body = { url: 'https://example.com/', types: ['conversation.processed'] };
  expect((await call(keyed.url, 'POST', '/v1/webhooks', body, bearer(operate))).status).toBe(403);
  const created = await call(keyed.url, 'POST', '/v1/webhooks', body, bearer(admin));
  expect(created.body.secret).toMatch(/^whsec_/);
  const shown = await call(keyed.url, 'GET', '/v1/webhooks', undefined, bearer(admin));
  expect(JSON.stringify(shown.body)).not.toContain('whsec_');
  expect((await runCommand(['actions'], own.env)).output).toMatch(/key admin .*webhook-create/);
  expect(keyed.lines.join('\n')).not.toContain('whsec_');
  expect(await keyed.stop()).toBe(0);
  await own.dispose();
});

test('the same from a shell', async () => {
  const env = { ...space.env };
  const run = (...args: string[]) => runCommand(['webhooks', ...args], env);
  const created = await run('create', receiver.url, '--types', 'conversation.processed', '--json');
  const { endpoint_id: id, secret } = JSON.parse(created.output);
  expect(secret).toMatch(/^whsec_/);
  expect((await run('test', id)).output).toMatch(/^delivered \(204, \d+ ms\)$/);
  expect(await run('disable', id)).toMatchObject({ code: 0, output: `${id} is disabled` });
  expect((await run('list')).output).toContain('disabled');
  expect((await run('enable', id)).code).toBe(0);
  expect((await run('rotate', id)).output).toMatch(/whsec_/);
  expect(JSON.parse((await run('deliveries', id, '--json')).output)).toHaveProperty('deliveries');
  expect((await run('replay', id, '--failed')).code).toBe(0);
  expect(await run('replay', id)).toMatchObject({
    code: 2,
    output: expect.stringContaining('must have ids, state or since'),
  });
  expect(await run('create', 'https://10.0.0.1/')).toMatchObject({
    code: 2,
    output: expect.stringContaining('must not lead to a private address'),
  });
  expect((await run('delete', id)).code).toBe(0);
  expect(await run('test', id)).toMatchObject({ code: 2, output: expect.stringContaining('no such endpoint') });
});
