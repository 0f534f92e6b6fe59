import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { call, rows } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { fillOld, retentionEverySecond } from '../support/old-events.ts';

/** Jobs run by the clock, one at a time in the whole fleet; whoever dies in the middle is made up for. */

let space: Namespace;
let members: Member[] = [];

beforeEach(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
});
afterEach(async () => {
  for (const member of members) expect(await member.stop()).toBe(0);
  members = [];
  await space.dispose();
});

type Run = { job: string; due_at: Date; state: string; runner: string; started_at: Date; ended_at: Date | null };
const runs = () => rows<Run>(space.database, 'SELECT * FROM maintenance_runs ORDER BY run_id');
const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 30_000, interval: 100 });
const startApi = async (options = {}) => {
  const api = await startMember('api', { ...space.env, ...retentionEverySecond }, options);
  if (Object.keys(options).length === 0) members.push(api);
  return api;
};

const fill = (thousands: number) => fillOld(space.database, thousands);

test('three APIs: each job runs at its times, by one of them, and never two at once', async () => {
  await Promise.all([startApi(), startApi(), startApi()]);
  const done = async () => (await runs()).filter((run) => run.state === 'done');
  await until(async () => expect((await done()).length).toBeGreaterThanOrEqual(12));
  const found = await runs();
  expect(new Set(found.map(({ job }) => job))).toEqual(new Set(['partitions', 'housekeeping', 'event-retention']));
  // Each was first seen, and not run for the time before that.
  for (const job of new Set(found.map((run) => run.job)))
    expect(found.filter((run) => run.job === job).map((run) => run.state)[0]).toBe('new');
  const ended = found.filter((run) => run.state === 'done');
  const times = ended.map((run) => `${run.job} ${run.due_at.toISOString()}`);
  expect(times).toEqual([...new Set(times)]);
  const inOrder = ended.toSorted((a, b) => a.started_at.getTime() - b.started_at.getTime());
  for (const [i, run] of inOrder.entries()) {
    const next = inOrder[i + 1];
    if (next) expect(run.ended_at?.getTime()).toBeLessThanOrEqual(next.started_at.getTime());
  }
  const [one] = members;
  await until(async () => {
    const { body } = await call((one as Member).url, 'GET', '/metrics');
    expect(body).toMatch(/^# HELP afterword_maintenance_runs_total/m);
  });
});

test('the leader is killed in the middle: another one goes on, and everything old is gone', async () => {
  await fill(20);
  const doomed = await startApi({ mayDie: true });
  await until(async () =>
    expect((await runs()).some((run) => run.job === 'event-retention' && run.state === 'running')).toBe(true),
  );
  const left = async () =>
    Number((await rows<{ n: number }>(space.database, 'SELECT COUNT(*) AS n FROM conversation_events'))[0]?.n);
  await until(async () => expect(await left()).toBeLessThan(20_000));
  doomed.signal('SIGKILL');
  await doomed.ended;
  expect(await left()).toBeGreaterThan(0);
  await startApi();
  await until(async () => expect(await left()).toBe(0));
  await until(async () => {
    const retention = (await runs()).filter((run) => run.job === 'event-retention').map((run) => run.state);
    expect(retention).toContain('lost');
    expect(retention.at(-1)).toBe('done');
  });
});

test('an API that is told to stop in the middle ends at once, and its run is made up', async () => {
  await fill(20);
  const first = await startApi({ mayDie: true });
  await until(async () =>
    expect((await runs()).some((run) => run.job === 'event-retention' && run.state === 'running')).toBe(true),
  );
  expect(await first.stop()).toBe(0);
  expect((await runs()).some((run) => run.state === 'lost')).toBe(true);
  await startApi();
  await until(async () => expect((await runs()).at(-1)?.state).toBe('done'));
});

test('while somebody leads, a job by hand waits, says who it waits for, and loses nothing', async () => {
  const { database } = space;
  const leader = await database.getConnection();
  await leader.query("SELECT GET_LOCK(CONCAT('afterword_leader_', LEFT(SHA2(DATABASE(), 256), 32)), 0)");
  const refused = await runCommand(['jobs', 'run', 'housekeeping'], space.env);
  expect(refused).toMatchObject({ code: expect.any(Number), output: expect.stringContaining('another process') });
  expect(refused.code).not.toBe(0);
  leader.destroy();
  expect(await runCommand(['jobs', 'run', 'housekeeping'], space.env)).toMatchObject({
    code: 0,
    output: expect.stringContaining('housekeeping done'),
  });
  expect((await runCommand(['actions'], space.env)).output).toContain('housekeeping');
});

test('jobs shows what is due and what was done; bad input says what to do', async () => {
  const { output, code } = await runCommand(['jobs'], { ...space.env, TEXT_RETENTION_DAYS: '30' });
  expect(code).toBe(0);
  expect(output).toMatch(/text-retention +0 3 \* \* \* +20\d\d-/);
  expect(output).toMatch(/event-retention +by hand/);
  expect(output).toContain('no runs yet');
  expect(await runCommand(['jobs', 'run', 'banana'], space.env)).toMatchObject({
    output: expect.stringContaining('Allowed choices are partitions'),
  });
  expect(await runCommand(['jobs'], { ...space.env, RETENTION_SCHEDULE: 'at night' })).toMatchObject({
    output: expect.stringContaining('RETENTION_SCHEDULE must be a cron expression such as 0 3 * * *, or off'),
  });
  expect(
    await runCommand(['jobs'], { ...space.env, TEXT_RETENTION_DAYS: '30', EVENT_RETENTION_DAYS: '10' }),
  ).toMatchObject({ output: expect.stringContaining('TEXT_RETENTION_DAYS must not be above EVENT_RETENTION_DAYS') });
});
