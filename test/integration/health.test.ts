import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { call, conversation, post } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { createProxy } from '../support/proxy.ts';

let space: Namespace;
let api: Member;
let worker: Member;
let workerUrl: string;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { SCORER_MODULE: new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname, SCORING_THREADS: '1' },
  );
  api = await startMember('api', { ...space.env, OPS_KEY: 'the key of the operators' });
  const port = await freePort();
  worker = await startMember('worker', { ...space.env, METRICS_PORT: String(port) });
  workerUrl = `http://127.0.0.1:${port}`;
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const profileFile = () => join(tmpdir(), `afterword-${process.pid}-${Math.random().toString(36).slice(2)}.cpuprofile`);

/** Names of the functions in a profile. */
function functionsIn(text: string): string[] {
  const { nodes } = JSON.parse(text) as { nodes: { callFrame: { functionName: string } }[] };
  return nodes.map(({ callFrame }) => callFrame.functionName);
}

test('details of an API and of a worker, with what they depend on', async () => {
  const ofApi = (await call(api.url, 'GET', '/health/detailed')).body;
  const ofWorker = (await call(workerUrl, 'GET', '/health/detailed')).body;
  for (const body of [ofApi, ofWorker]) {
    expect(body).toMatchObject({
      status: 'ready',
      messages_waiting: 0,
      dependencies: {
        database: { answers: true, ms: expect.any(Number) },
        broker: { answers: true, ms: expect.any(Number) },
      },
      connections: { limit: 10 },
      system: { cores: expect.any(Number), disk: { free_bytes: expect.any(Number) } },
      last_errors: [],
    });
    expect(body.memory.rss_bytes).toBeGreaterThan(10_000_000);
  }
  expect(ofApi).toMatchObject({ role: 'api', database: 'up', broker: 'up' });
  expect(ofWorker).toMatchObject({
    role: 'worker',
    scorer: 'obedient-scorer.ts',
    deliveries: { in_flight: 0, prefetch: 10, paused_by: [] },
    threads: { total: 1, busy: 0, waiting: 0, heap_bytes: [expect.any(Number)] },
  });
  // Told apart by their own key only, which is masked: 12 digits each.
  expect(ofWorker.configuration_digest).toMatch(/^[0-9a-f]{12}$/);
});

test('the same configuration has the same digest in every process, and another has another', async () => {
  const start = async (env: Record<string, string>) => {
    const member = await startMember('api', { ...space.env, ...env });
    const { configuration_digest } = (await call(member.url, 'GET', '/health/detailed')).body;
    await member.stop();
    return configuration_digest as string;
  };
  const [one, two, other] = [await start({}), await start({ LOG_LEVEL: 'warn' }), await start({ MAX_ATTEMPTS: '7' })];
  expect(one).toBe(two);
  expect(other).not.toBe(one);
});

test('the last errors are shown by kind, without a word of what was said', async () => {
  const secret = 'a sentence that nobody else says';
  const said = [{ speaker: 'user', text: secret }];
  await post(api.url, conversation({ metadata: { act: 'exit', times: 1 }, conversation_log: said }));
  await vi.waitFor(
    async () => {
      const { body } = await call(workerUrl, 'GET', '/health/detailed');
      expect(JSON.stringify(body)).not.toContain(secret);
      expect(body.last_errors).toContainEqual({
        code: 'SCORING_THREAD_DIED',
        said: 'attempt failed; the event is tried again later',
        count: 1,
        at: expect.any(String),
      });
    },
    { timeout: 10_000 },
  );
});

test('a slow database does not make an API unready; one that is gone does', async () => {
  const proxy = await createProxy(new URL(inject('databaseUrl')));
  const far = await startMember('api', {
    ...space.env,
    DATABASE_URL: proxy.through(space.env['DATABASE_URL'] ?? ''),
    ACCEPT_DEADLINE_MS: '500',
  });
  await vi.waitFor(async () => expect((await call(far.url, 'GET', '/readyz')).body.database).toBe('up'));
  proxy.silence('down');
  // Answered from memory for a second, then slow: it takes part until it has been silent for ten.
  await vi.waitFor(
    async () =>
      expect(await call(far.url, 'GET', '/readyz')).toMatchObject({
        status: 200,
        body: { status: 'degraded', database: 'slow' },
      }),
    { timeout: 5_000, interval: 100 },
  );
  await vi.waitFor(
    async () =>
      expect(await call(far.url, 'GET', '/readyz')).toMatchObject({ status: 503, body: { database: 'down' } }),
    { timeout: 20_000, interval: 200 },
  );
  expect((await call(far.url, 'GET', '/healthz')).status).toBe(200);
  await proxy.restore();
  await vi.waitFor(async () => expect((await call(far.url, 'GET', '/readyz')).body.database).toBe('up'), 20_000);
  expect(await far.stop()).toBe(0);
  await proxy.close();
});

test('a profile is taken over HTTP, by who has the key, one at a time', async () => {
  const key = { authorization: 'Bearer the key of the operators' };
  const profile = (query: string, headers: Record<string, string> = key) =>
    call(api.url, 'POST', `/ops/profile${query}`, undefined, headers);
  const both = await Promise.all([1, 2].map(() => profile('?seconds=1')));
  const [taken, refused] = both.toSorted((a, b) => a.status - b.status);
  expect(taken?.status).toBe(200);
  expect(functionsIn(JSON.stringify(taken?.body))).toContain('(root)');
  expect(refused).toMatchObject({ status: 409, body: { code: 'profile_running' } });

  expect((await profile('?seconds=1', { ...key, 'x-forwarded-for': '1.2.3.4' })).status).toBe(200);
  expect((await profile('?seconds=1', {})).status).toBe(401);
  expect((await profile('?seconds=1', { authorization: 'Bearer wrong' })).status).toBe(401);
  expect((await profile('?seconds=61')).status).toBe(422);
  expect(await profile('?thread=1&seconds=1')).toMatchObject({ status: 409, body: { code: 'no_threads' } });
});

test('without a key, it is served on METRICS_PORT only, which callers do not reach', async () => {
  const port = await freePort();
  const open = await startMember('api', { ...space.env, METRICS_PORT: String(port) });
  expect((await call(open.url, 'GET', '/ops/heap')).status).toBe(404);
  expect((await call(`http://127.0.0.1:${port}`, 'GET', '/ops/heap')).status).toBe(200);
  expect((await call(`http://127.0.0.1:${port}`, 'GET', '/ops/heap', undefined, { via: '1.1 proxy' })).status).toBe(
    403,
  );
  await open.stop();
});

test('the heap is summed up; a snapshot needs a setting', async () => {
  const { body } = await call(workerUrl, 'GET', '/ops/heap');
  expect(body).toMatchObject({
    process: { rss: expect.any(Number) },
    heap: { used_heap_size: expect.any(Number) },
    thread_heap_bytes: [expect.any(Number)],
  });
  expect(await call(workerUrl, 'POST', '/ops/heap')).toMatchObject({ status: 403, body: { code: 'snapshots_off' } });
  const port = await freePort();
  const open = await startMember('api', { ...space.env, OPS_HEAP_SNAPSHOTS: 'true', METRICS_PORT: String(port) });
  const snapshot = await call(`http://127.0.0.1:${port}`, 'POST', '/ops/heap');
  expect(Object.keys(snapshot.body)).toContain('snapshot');
  await open.stop();
});

test('a profile of any member is taken through the database, of its main thread or of a scoring thread', async () => {
  const out = profileFile();
  const ofMain = await runCommand(['profile', 'worker', '--seconds', '1', '--out', out], space.env);
  expect(ofMain).toMatchObject({ code: 0, output: expect.stringContaining(out) });
  expect(functionsIn(await readFile(out, 'utf8'))).toContain('(root)');
  await rm(out);

  // Nine seconds: longer than the worker may take to see the request.
  const burning = post(api.url, conversation({ metadata: { act: 'burn-turning', ms: 1_500 } }));
  const member = await runCommand(['profile', 'worker', '--seconds', '3', '--thread', '--out', out], space.env);
  expect(member).toMatchObject({ code: 0 });
  await burning;
  expect(functionsIn(await readFile(out, 'utf8'))).toContain('misbehave');
  await rm(out);
  expect((await runCommand(['actions', '--limit', '1'], space.env)).output).toContain('profile');
});

test('what cannot be profiled is said', async () => {
  const nobody = await runCommand(['profile', 'worker-9'], space.env);
  expect(nobody.code).toBe(2);
  expect(nobody.output).toMatch(/no member is named worker-9; there are: .*api.*worker/);
  expect(await runCommand(['profile', 'api', '--thread'], space.env)).toMatchObject({
    code: 2,
    output: expect.stringContaining('has no scoring threads'),
  });
  const nowhere = await runCommand(['profile', 'api', '--out', '/nowhere/x'], space.env);
  expect(nowhere).toMatchObject({ code: 2, output: expect.stringContaining('/nowhere/x cannot be written (ENOENT)') });
  const forever = await runCommand(['profile', 'api', '--seconds', '61'], space.env);
  expect(forever).toMatchObject({ code: 2, output: expect.stringContaining('from 1 to 60') });
});
