import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let env: Record<string, string>;
let api: Member;
let worker: Member;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const scorer = fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url));
  env = { ...space.env, SCORER_MODULE: scorer };
  api = await startMember('api', env);
  worker = await startMember('worker', env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

type Shown = { pid: number; state: string; processing: number };
const byPid = async (pid: number) => {
  const { output } = await runCommand(['ps', '--json'], space.env);
  return (JSON.parse(output) as { members: Shown[] }).members.find((member) => member.pid === pid);
};
const afterword = (...args: string[]) => runCommand(args, space.env);
const statusOf = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${id}`)).body.status;
const processed = async (id: string) => (await statusOf(id)) === 'PROCESSED';
/** `ps` shows what a member said with its last heartbeat; the status says it at once. */
const begun = (id: string) => vi.waitFor(async () => expect(await statusOf(id)).toBe('PROCESSING'), 10_000);
const postOne = async (order: object = {}) => {
  const body = conversation({ metadata: order });
  await post(api.url, body);
  return body.conversation_id;
};
const queued = async () => Number((await call(api.url, 'GET', '/health/detailed')).body.messages_waiting);

test('a paused fleet finishes what it holds and takes nothing new, also after a restart', async () => {
  const held = await postOne({ after: 6_000 });
  await begun(held);
  expect(await afterword('pause')).toMatchObject({ code: 0, output: expect.stringContaining('paused until') });
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ state: 'paused' }), 10_000);
  const next = await postOne();
  await vi.waitFor(async () => expect(await processed(held)).toBe(true), 15_000);
  await vi.waitFor(async () => expect(await queued()).toBe(1), 10_000);
  expect((await afterword('doctor')).output).toMatch(/WARN +paused +all/);

  expect(await worker.stop()).toBe(0);
  worker = await startMember('worker', env);
  await vi.waitFor(() => expect(worker.lines.join('\n')).toContain('paused by an operator'));
  expect(await processed(next)).toBe(false);
  expect(await queued()).toBe(1);

  expect((await afterword('resume')).code).toBe(0);
  await vi.waitFor(async () => expect(await processed(next)).toBe(true), 15_000);
  expect((await afterword('doctor')).output).toMatch(/ok +paused +no worker/);
}, 60_000);

test('a new concurrency is taken live: nothing is lost, and no more run than that', async () => {
  const ids = await Promise.all(Array.from({ length: 30 }, () => postOne({ after: 3_000 })));
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ processing: 10 }), 10_000);
  expect((await afterword('concurrency', '3', '--worker', 'worker')).code).toBe(0);
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ concurrency: 3 }), 10_000);
  const more = await Promise.all(Array.from({ length: 12 }, () => postOne({ after: 1_000 })));
  let most = 0;
  await vi.waitFor(async () => {
    const states = await Promise.all(more.map(processed));
    const member = await byPid(worker.pid);
    if (states.some(Boolean)) most = Math.max(most, member?.processing ?? 0);
    expect(states.every(Boolean)).toBe(true);
  }, 30_000);
  expect(most).toBeLessThanOrEqual(3);
  for (const id of ids) expect(await processed(id)).toBe(true);
  expect((await afterword('concurrency', 'default', '--worker', 'worker')).code).toBe(0);
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ concurrency: 10 }), 10_000);
}, 90_000);

test('a drained worker finishes and ends; the next of its name is paused until it is resumed', async () => {
  const held = await postOne({ after: 8_000 });
  await begun(held);
  expect((await afterword('drain', '--worker', `worker@${hostname()}`)).code).toBe(0);
  expect(await worker.ended).toBe(0);
  expect(await processed(held)).toBe(true);
  worker = await startMember('worker', env);
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ state: 'paused' }), 10_000);
  expect((await afterword('resume', '--worker', 'worker')).code).toBe(0);
  await vi.waitFor(async () => expect(await byPid(worker.pid)).toMatchObject({ state: 'running' }), 10_000);
}, 60_000);

test('what is said to one worker does not undo what is said to all, and says so', async () => {
  expect((await afterword('pause')).code).toBe(0);
  expect(await afterword('resume', '--worker', 'worker')).toMatchObject({
    code: 1,
    output: expect.stringContaining('it stays paused, because all workers are'),
  });
  expect((await afterword('resume')).code).toBe(0);
  expect(await afterword('pause', '--worker', `${hostname()}:${worker.pid}`)).toMatchObject({ code: 0 });
  const second = await startMember('worker', env);
  await vi.waitFor(async () => expect(await byPid(second.pid)).toBeDefined(), 10_000);
  expect(await afterword('pause', '--worker', `${hostname()}:${second.pid}`)).toMatchObject({
    code: 2,
    output: expect.stringContaining('2 workers are named'),
  });
  expect(await second.stop()).toBe(0);
  expect((await afterword('resume')).code).toBe(0);
}, 60_000);

test('who did what is kept; a worker that is not there is named, with those that are', async () => {
  const { output } = await afterword('actions', '--json');
  const { actions } = JSON.parse(output) as { actions: { action: string; target: string; actor: string }[] };
  expect(actions.map(({ action }) => action).toReversed()).toEqual([
    'pause',
    'resume',
    'concurrency',
    'concurrency',
    'drain',
    'resume',
    'pause',
    'resume',
    'resume',
    'pause',
    'resume',
  ]);
  expect(actions[0]?.actor).toMatch(new RegExp(`@${hostname()}$`));
  expect(await afterword('pause', '--worker', 'nobody')).toMatchObject({
    code: 2,
    output: expect.stringContaining(`there are: worker@${hostname()}`),
  });
  expect((await afterword('concurrency', '0')).code).toBe(2);
  expect((await afterword('drain')).code).toBe(2);
});
