import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows, statuses, wrongSums } from '../support/client.ts';
import { startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;

beforeEach(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '2',
      MESSAGE_CONCURRENCY_PER_WORKER: '4',
    },
  );
});
afterEach(() => space.dispose());

const processing = () =>
  vi.waitFor(async () => expect((await statuses(space.database))['PROCESSING']).toBeGreaterThan(0), {
    timeout: 20_000,
    interval: 50,
  });

test('SIGTERM: running work is finished and settled, waiting work goes back, exit code 0', async () => {
  const api = await startMember('api', space.env);
  const worker = await startMember('worker', space.env);
  await postAll(
    api.url,
    Array.from({ length: 10 }, () => conversation({ metadata: { act: 'burn', ms: 1_500 } })),
  );
  await processing();
  expect(await worker.stop()).toBe(0);
  const after = await statuses(space.database);
  expect(after['PROCESSED']).toBeGreaterThanOrEqual(2);
  expect(after['PROCESSED']).toBeLessThan(10);
  const broker = await openBroker(inject('rabbitmqUrl'));
  expect(await broker.depth(space.queue)).toBe(10 - (after['PROCESSED'] ?? 0));
  await broker.close();
  // A request in flight is answered, then the API ends too.
  const open = conversation();
  await post(api.url, open);
  const waiting = call(api.url, 'GET', `/v1/conversations/${open.conversation_id}`, undefined, { prefer: 'wait=2' });
  // The one after it is answered, so it has arrived.
  expect((await call(api.url, 'GET', '/healthz')).status).toBe(200);
  const code = api.stop();
  expect(await waiting).toMatchObject({ status: 200, body: { status: 'PENDING' } });
  expect(await code).toBe(0);
});

test(
  'work that does not finish within DRAIN_MS goes back with no attempt used, ' + 'and is scored by the next worker',
  async () => {
    const api = await startMember('api', space.env);
    const worker = await startMember('worker', { ...space.env, DRAIN_MS: '300' });
    const bodies = Array.from({ length: 4 }, () => conversation({ metadata: { act: 'burn', ms: 3_000 } }));
    await postAll(api.url, bodies);
    await processing();
    expect(await worker.stop()).toBe(0);
    expect(worker.lines.join()).toContain('not finished in time');
    expect(
      await rows(
        space.database,
        'SELECT 1 FROM conversation_events WHERE attempt_count > 0 OR next_attempt_at IS NULL OR suspect_starts > 0',
      ),
    ).toEqual([]);
    const next = await startMember('worker', space.env);
    await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 4 }), {
      timeout: 30_000,
      interval: 100,
    });
    expect(await wrongSums(space.database)).toEqual([]);
    for (const member of [api, next]) expect(await member.stop()).toBe(0);
  },
);

test('a second signal stops at once', async () => {
  const api = await startMember('api', space.env);
  const worker = await startMember('worker', space.env);
  await post(api.url, conversation({ metadata: { act: 'burn', ms: 20_000 } }));
  await processing();
  worker.signal('SIGTERM');
  await vi.waitFor(() => expect(worker.lines.join()).toContain('draining'));
  worker.signal('SIGTERM');
  expect(await worker.ended).toBe(143);
  expect(await api.stop()).toBe(0);
});

test('a fleet starts its members, restarts one that dies, and drains them all', async () => {
  const fleet = await startMember('fleet', {
    ...space.env,
    SCORING_THREADS: '',
    WORKER_REPLICAS: '2',
    LOG_LEVEL: 'info',
  });
  const lines = () =>
    fleet.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  const url = await vi.waitFor(() => {
    const line = lines().find(({ msg }) => msg === 'api is up');
    if (!line) throw new Error('the api has not said where it is');
    return String(line['url']);
  });
  const consuming = (n: number) =>
    vi.waitFor(
      () => {
        const found = lines().filter((line) => line['role'] === 'worker-1' && line['msg'] === 'consuming');
        expect(found, fleet.lines.join('\n')).toHaveLength(n);
        return found.map((line) => Number(line['pid']));
      },
      { timeout: 20_000 },
    );
  // A log line may arrive after the message that the member is ready.
  const [first = 0] = await consuming(1);
  // The workers share the cores.
  expect(lines().find((line) => line['msg'] === 'consuming')).toMatchObject({
    threads: Math.min(4, Math.ceil(availableParallelism() / 2)),
  });
  process.kill(first, 'SIGKILL');
  await consuming(2);
  await postAll(
    url,
    Array.from({ length: 20 }, () => conversation()),
  );
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 20 }), { timeout: 20_000 });
  expect((await call(url, 'GET', '/healthz')).status).toBe(200);
  expect(await fleet.stop()).toBe(0);
  const pids = new Set(lines().map((line) => Number(line['pid'])));
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
});

test('a member that starts while the password is being changed does not end its fleet', async () => {
  const own = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {},
    { ownUser: true },
  );
  const { username, password } = new URL(own.env['DATABASE_URL'] ?? '');
  const setPassword = (to: string) => own.database.query(`ALTER USER '${username}'@'%' IDENTIFIED BY '${to}'`);
  const fleet = await startMember('fleet', { ...own.env, WORKER_REPLICAS: '1', LOG_LEVEL: 'info' });
  const workers = () =>
    fleet.lines.flatMap((line) =>
      /"role":"worker-1".*"msg":"consuming"/.test(line) ? [Number(JSON.parse(line).pid)] : [],
    );
  await vi.waitFor(() => expect(workers()).toHaveLength(1), { timeout: 20_000 });
  await setPassword('changed');
  process.kill(workers()[0] ?? 0, 'SIGKILL');
  await vi.waitFor(() => expect(fleet.lines.join()).toMatch(/"exit":"78".*"msg":"member died; restarting"/), {
    timeout: 20_000,
  });
  await setPassword(password);
  await vi.waitFor(() => expect(workers()).toHaveLength(2), { timeout: 40_000 });
  expect(await fleet.stop()).toBe(0);
  await own.dispose();
});

test('members whose supervisor is killed drain on their own', async () => {
  const fleet = await startMember('fleet', { ...space.env, WORKER_REPLICAS: '1', LOG_LEVEL: 'info' });
  const pids = await vi.waitFor(() => {
    const all = fleet.lines
      .filter((line) => line.startsWith('{'))
      .map((line) => (JSON.parse(line) as { pid: number }).pid);
    const members = new Set(all.filter((pid) => pid !== fleet.pid));
    expect(members.size).toBe(2);
    return members;
  });
  fleet.signal('SIGKILL');
  await vi.waitFor(
    () => {
      for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
    },
    { timeout: 20_000 },
  );
});
