import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { createProxy } from '../support/proxy.ts';

let servers: OwnServers;
let space: Namespace;
let api: Member;

beforeAll(async () => {
  servers = await startOwnServers();
  space = await createNamespace(
    { database: servers.database.url, rabbitmq: servers.broker.url },
    {
      LOG_LEVEL: 'info',
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '2',
    },
  );
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
  await servers.dispose();
});

test('workers killed in mid-scoring, again and again: everything is scored, every sum exact', async () => {
  const bodies = Array.from({ length: 400 }, (_, i) =>
    conversation({ user_id: `user_${i % 5}`, metadata: { act: 'burn', ms: 10 } }),
  );
  expect((await postAll(api.url, bodies)).every((a) => a.status === 202)).toBe(true);
  const done = async () => (await statuses(space.database))['PROCESSED'] ?? 0;
  for (let round = 1; round <= 5; round++) {
    const worker = await startMember('worker', space.env);
    await vi.waitFor(async () => expect(await done()).toBeGreaterThan(round * 30), { timeout: 30_000, interval: 10 });
    worker.signal('SIGKILL');
    await worker.ended;
  }
  expect(await done()).toBeLessThan(400);
  const last = await startMember('worker', space.env);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 400 }), {
    timeout: 60_000,
    interval: 100,
  });
  expect(await wrongSums(space.database)).toEqual([]);
  expect(
    await rows(space.database, 'SELECT 1 FROM conversation_events WHERE attempt_count > 0 OR suspect_starts > 0'),
  ).toEqual([]);
  expect(await last.stop()).toBe(0);
});

test('an event that kills its process every time ends as POISON, and the others are scored', async () => {
  const broker = await openBroker(servers.broker.url);
  await broker.takeAll(space.deadQueue);
  const poison = conversation({ metadata: { act: 'kill' } });
  const neighbours = Array.from({ length: 30 }, () => conversation({ user_id: 'neighbour' }));
  await postAll(api.url, [poison, ...neighbours], 5);
  const status = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${id}`)).body;
  let deaths = 0;
  const start = () => startMember('worker', space.env, { mayDie: true });
  let worker = await start();
  const supervise = async () => {
    while ((await worker.ended) === 'SIGKILL') {
      deaths++;
      worker = await start();
    }
  };
  const supervised = supervise();
  await vi.waitFor(
    async () =>
      expect(await status(poison.conversation_id)).toMatchObject({ status: 'FAILED', error: { code: 'POISON' } }),
    {
      timeout: 120_000,
      interval: 200,
    },
  );
  for (const { conversation_id } of neighbours) {
    await vi.waitFor(
      async () => expect(await status(conversation_id)).toMatchObject({ status: 'PROCESSED', attempt_count: 0 }),
      {
        timeout: 30_000,
      },
    );
  }
  // The first start is not counted, the next three are.
  expect(deaths).toBe(4);
  await vi.waitFor(async () =>
    expect((await broker.takeAll(space.deadQueue)).map((m) => m.properties.messageId)).toHaveLength(1),
  );
  expect(await wrongSums(space.database)).toEqual([]);
  await worker.stop();
  await supervised;
  await broker.close();
});

test('connections that are reset again and again during long scorings: no event is taken for poison', async () => {
  const proxy = await createProxy(new URL(servers.broker.url));
  const broker = await openBroker(servers.broker.url);
  const env = { ...space.env, RABBITMQ_URL: proxy.through(space.env['RABBITMQ_URL'] ?? ''), POISON_STARTS: '2' };
  const slow = [1, 2].map(() => conversation({ user_id: 'patient', metadata: { act: 'wait', ms: 9_000 } }));
  await postAll(api.url, slow);
  const workers = await Promise.all([startMember('worker', env), startMember('worker', env)]);
  const consuming = () =>
    workers.every(({ lines }) => lines.filter((line) => line.includes('"broker connected"')).length >= 2 * sessions);
  // The first delivery is not counted, the second and third are; the fourth would find two starts, but their processes
  // are alive.
  let sessions = 1;
  for (; sessions <= 5; sessions++) {
    await vi.waitFor(() => expect(consuming()).toBe(true), { timeout: 30_000, interval: 20 });
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(0), { timeout: 10_000, interval: 20 });
    proxy.cut();
  }
  await vi.waitFor(
    async () => {
      for (const { conversation_id } of slow) {
        const { body } = await call(api.url, 'GET', `/v1/conversations/${conversation_id}`);
        expect(body).toMatchObject({ status: 'PROCESSED', attempt_count: 0 });
      }
    },
    { timeout: 60_000, interval: 200 },
  );
  expect(await wrongSums(space.database)).toEqual([]);
  for (const worker of workers) expect(await worker.stop()).toBe(0);
  await Promise.all([proxy.close(), broker.close()]);
});

test('an API killed with accepts in flight: every event answered 202 survives, and is scored', async () => {
  const victim = await startMember('api', space.env);
  const accepted: string[] = [];
  const flood = Promise.all(
    Array.from({ length: 40 }, async () => {
      for (;;) {
        const body = conversation({ user_id: 'flood' });
        const answer = await post(victim.url, body).catch(() => null);
        if (answer?.status !== 202) return;
        accepted.push(body.conversation_id);
      }
    }),
  );
  await vi.waitFor(() => expect(accepted.length).toBeGreaterThan(200), { timeout: 30_000, interval: 5 });
  victim.signal('SIGKILL');
  await flood;
  const worker = await startMember('worker', { ...space.env, PUBLISH_GRACE_MS: '1000' });
  await vi.waitFor(async () => expect((await statuses(space.database))['PENDING'] ?? 0).toBe(0), {
    timeout: 60_000,
    interval: 100,
  });
  const stored = new Set(
    (
      await rows<{ id: string }>(
        space.database,
        "SELECT conversation_id AS id FROM conversation_events WHERE status = 'PROCESSED'",
      )
    ).map((r) => r.id),
  );
  expect(accepted.filter((id) => !stored.has(id))).toEqual([]);
  expect(await wrongSums(space.database)).toEqual([]);
  expect(await worker.stop()).toBe(0);
});
