import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let workers: Member[];
let env: Record<string, string>;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  env = {
    ...space.env,
    DRAIN_MS: '4000',
    SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
  };
  api = await startMember('api', env);
  workers = await Promise.all([startMember('worker', env), startMember('worker', env)]);
});
afterAll(async () => {
  for (const member of [api, ...workers]) await member.stop();
  await space.dispose();
});

type Shown = { name: string; pid: number; host: string; state: string; processing: number };
const ps = async (...more: string[]) => {
  const { code, output } = await runCommand(['ps', '--json', ...more], space.env);
  expect(output).toMatch(/^\{/);
  return { code, members: (JSON.parse(output) as { members: Shown[] }).members };
};
const byPid = async (pid: number, ...more: string[]) => (await ps(...more)).members.find((m) => m.pid === pid);

test('every process is shown, with what it does', async () => {
  const { code, members } = await ps();
  expect(code).toBe(0);
  expect(members.map(({ name, state }) => `${name} ${state}`)).toEqual([
    'api running',
    'worker running',
    'worker running',
  ]);
  expect(members.map(({ pid }) => pid).toSorted()).toEqual([api, ...workers].map(({ pid }) => pid).toSorted());
  expect(members[1]).toMatchObject({
    host: hostname(),
    scorer: 'obedient-scorer.ts',
    concurrency: 10,
    in_flight: 0,
    cpu_percent: expect.any(Number),
    rss_bytes: expect.any(Number),
  });
});

test('one that says nothing any more is lost, with its unfinished attempts, and ps fails', async () => {
  const doomed = await startMember('worker', env);
  await workers[0]?.stop();
  await workers[1]?.stop();
  const body = conversation({ metadata: { after: 25_000 } });
  await post(api.url, body);
  await vi.waitFor(async () => {
    const { body: event } = await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`);
    expect(event.status).toBe('PROCESSING');
  }, 10_000);
  doomed.signal('SIGKILL');
  await doomed.ended;
  await space.database.query('UPDATE fleet_members SET seen_at = seen_at - INTERVAL 1 MINUTE WHERE pid = ?', [
    doomed.pid,
  ]);
  expect((await ps()).code).toBe(1);
  expect(await byPid(doomed.pid)).toMatchObject({ state: 'lost', processing: 1 });
  const { output } = await runCommand(['ps'], space.env);
  expect(output).toContain(`1 member lost: worker on ${hostname()}`);
});

test('one that drains says so; one that has stopped is shown for a minute, and with --all for a day', async () => {
  const worker = await startMember('worker', env);
  const body = conversation({ metadata: { after: 2_000 } });
  await post(api.url, body);
  await vi.waitFor(async () => {
    const { body: event } = await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`);
    expect(event.status).toBe('PROCESSING');
  }, 10_000);
  worker.signal('SIGTERM');
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ state: 'draining' }), 3_000);
  expect(await worker.ended).toBe(0);
  expect(await byPid(worker.pid)).toMatchObject({ state: 'stopped' });
  await space.database.query('UPDATE fleet_members SET seen_at = seen_at - INTERVAL 2 MINUTE WHERE pid = ?', [
    worker.pid,
  ]);
  expect(await byPid(worker.pid)).toBeUndefined();
  expect(await byPid(worker.pid, '--all')).toMatchObject({ state: 'stopped' });
});

test('a new member takes the row of one that was last seen over a day ago', async () => {
  const count = async () => {
    const [rows] = await space.database.query('SELECT member_id FROM fleet_members');
    return (rows as unknown[]).length;
  };
  await space.database.query('UPDATE fleet_members SET seen_at = seen_at - INTERVAL 2 DAY WHERE state = ?', [
    'stopped',
  ]);
  const before = await count();
  const worker = await startMember('worker', env);
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ state: 'running' }), 5_000);
  expect(await count()).toBe(before);
  await worker.stop();
});

test('rows of others are not touched by a member with an id of its own', async () => {
  await space.database.query(
    `INSERT INTO fleet_members
       (member_id, role, name, host, pid, version, state, started_at, seen_at, cpu_percent, rss_bytes)
     VALUES (?, 'worker', 'elsewhere', 'other-host', 1, '0', 'running', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 0, 0)`,
    [randomUUID()],
  );
  expect((await ps()).members.find(({ name }) => name === 'elsewhere')).toMatchObject({
    host: 'other-host',
    state: 'running',
  });
});
