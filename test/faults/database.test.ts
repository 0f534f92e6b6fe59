import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call, conversation, post, postAll, rows, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { createProxy } from '../support/proxy.ts';

let servers: OwnServers;
let space: Namespace;
let api: Member;
let worker: Member;

beforeAll(async () => {
  servers = await startOwnServers();
  space = await createNamespace(
    { database: servers.database.url, rabbitmq: servers.broker.url },
    {
      LOG_LEVEL: 'info',
      ACCEPT_DEADLINE_MS: '1000',
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
    },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
  await servers.dispose();
});

const processed = (n: number) =>
  vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: n }), {
    timeout: 60_000,
    interval: 200,
  });

test('database stopped: 503 with Retry-After and no hang, then everything goes on without a restart', async () => {
  expect((await post(api.url, conversation())).status).toBe(202);
  await processed(1);
  await servers.database.stop();
  const answers = await postAll(
    api.url,
    Array.from({ length: 200 }, () => conversation()),
    100,
  );
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, body: { status: 503, code: expect.any(String) } });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  }
  expect(await call(api.url, 'GET', '/healthz')).toMatchObject({ status: 200 });
  expect(await call(api.url, 'GET', '/readyz')).toMatchObject({
    status: 503,
    body: { status: 'unavailable', database: 'down' },
  });
  expect((await call(api.url, 'GET', '/v1/conversations/x')).status).toBe(503);

  await servers.database.start();
  const body = conversation();
  await vi.waitFor(async () => expect((await post(api.url, body)).status).toBe(202), { timeout: 30_000 });
  await vi.waitFor(
    async () =>
      expect((await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`)).body.status).toBe('PROCESSED'),
    {
      timeout: 30_000,
    },
  );
});

test('database killed during accepts and settles: every event answered 202 is stored and scored once', async () => {
  const bodies = Array.from({ length: 1_500 }, (_, i) =>
    conversation({ user_id: `user_${i % 7}`, metadata: { act: 'burn', ms: 2 } }),
  );
  let killed = false;
  const kill = vi
    .waitFor(async () => expect((await statuses(space.database))['PROCESSED']).toBeGreaterThan(50), {
      timeout: 30_000,
      interval: 20,
    })
    .then(async () => {
      await servers.database.kill();
      killed = true;
    });
  const accepted: string[] = [];
  const queue = bodies[Symbol.iterator]();
  const lane = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const answer = await post(api.url, next.value);
      expect([202, 503]).toContain(answer.status);
      if (answer.status === 202) accepted.push(next.value.conversation_id);
      else if (killed) return;
    }
  };
  await Promise.all(Array.from({ length: 30 }, lane));
  await kill;
  await servers.database.start();
  // Events without an answer may be stored too, complete; none that was answered may be missing.
  await vi.waitFor(
    async () => {
      const open = await rows(space.database, "SELECT 1 FROM conversation_events WHERE status <> 'PROCESSED'");
      expect(open).toEqual([]);
    },
    { timeout: 90_000, interval: 200 },
  );
  const stored = new Set(
    (await rows<{ id: string }>(space.database, 'SELECT conversation_id AS id FROM conversation_events')).map(
      (row) => row.id,
    ),
  );
  expect(accepted.filter((id) => !stored.has(id))).toEqual([]);
  expect(accepted.length).toBeGreaterThan(50);
  expect(await wrongSums(space.database)).toEqual([]);
  // Held, not requeued and scored again: no attempt was used.
  expect(await rows(space.database, 'SELECT 1 FROM conversation_events WHERE attempt_count > 0')).toEqual([]);
});

test('a process that starts without a database waits for it', async () => {
  await servers.database.stop();
  const starting = startMember('api', space.env);
  await servers.database.start();
  const late = await starting;
  await vi.waitFor(async () => expect((await post(late.url, conversation())).status).toBe(202), { timeout: 20_000 });
  expect(await late.stop()).toBe(0);
});

test('a silent database: 503 in time for every kind of request, no connection leaks, service resumes', async () => {
  const url = space.env['DATABASE_URL'] ?? '';
  const proxy = await createProxy(new URL(url));
  const cut = await startMember('api', { ...space.env, DATABASE_URL: proxy.through(url), DATABASE_POOL_SIZE: '4' });
  const body = conversation();
  expect((await post(cut.url, body)).status).toBe(202);
  proxy.silence('up', 'down');
  // More than the pool has, twice: the second round would miss any connection that the first had leaked.
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all([
      ...Array.from({ length: 6 }, () => post(cut.url, conversation())),
      ...Array.from({ length: 6 }, () => call(cut.url, 'GET', `/v1/conversations/${body.conversation_id}`)),
      ...Array.from({ length: 6 }, () => call(cut.url, 'GET', '/v1/users/nobody/friendship')),
    ]);
    expect(answers.map((a) => a.status)).toEqual(Array(18).fill(503));
  }
  await proxy.restore();
  await vi.waitFor(async () => expect((await post(cut.url, conversation())).status).toBe(202), { timeout: 30_000 });
  const read = async () =>
    expect((await call(cut.url, 'GET', `/v1/conversations/${body.conversation_id}`)).status).toBe(200);
  await vi.waitFor(read, { timeout: 30_000 });
  // And once more, so that it is stopped while its connections are dead.
  proxy.silence('up', 'down');
  expect((await post(cut.url, conversation())).status).toBe(503);
  expect(await cut.stop()).toBe(0);
  await proxy.close();
});
