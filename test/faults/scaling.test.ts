import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { conversation, postAll, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';

/** Workers come and go with the work; whatever happens meanwhile, every conversation is scored once. */

let servers: OwnServers;
let space: Namespace;
const scorer = new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname;

beforeAll(async () => {
  servers = await startOwnServers();
});
afterAll(() => servers.dispose());
beforeEach(async () => {
  space = await createNamespace(
    { database: servers.database.url, rabbitmq: servers.broker.url },
    { LOG_LEVEL: 'info', PUBLISH_GRACE_MS: '2000', SCORER_MODULE: scorer, MESSAGE_CONCURRENCY_PER_WORKER: '4' },
  );
  return () => space.dispose();
});

const until = <T>(check: () => T | Promise<T>, timeout = 90_000) => vi.waitFor(check, { timeout, interval: 100 });
const scale = {
  WORKER_REPLICAS_MIN: '1',
  WORKER_REPLICAS_MAX: '3',
  SCALE_CHECK_INTERVAL: '1',
  SCALE_DRAIN_SECONDS: '2',
};

type Line = Record<string, unknown> & { readonly msg?: string };
const linesOf = (fleet: Member): Line[] =>
  fleet.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
const changes = (fleet: Member) =>
  linesOf(fleet)
    .filter((line) => line.msg === 'autoscaling: workers change')
    .map((line) => line['to'] as number);
const stays = (fleet: Member) =>
  linesOf(fleet)
    .filter((line) => line.msg === 'autoscaling: workers stay')
    .map((line) => line['why'] as string);
const slowly = (n: number) =>
  Array.from({ length: n }, () => conversation({ metadata: { act: 'wait', ms: 400 }, user_id: `user_${n % 7}` }));
/** The URL that the fleet's API says. */
const urlOf = (fleet: Member) =>
  until(() => {
    const line = linesOf(fleet).find((one) => one['url']);
    expect(line).toBeDefined();
    return String(line?.['url']);
  });
const running = async () =>
  Number(
    (
      await rows<{ n: number }>(
        space.database,
        "SELECT COUNT(*) AS n FROM fleet_members WHERE role = 'worker' AND state = 'running'",
      )
    )[0]?.n,
  );

async function isWhole(n: number): Promise<void> {
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: n }));
  expect(await rows(space.database, 'SELECT 1 FROM conversation_events WHERE attempt_count > 0')).toEqual([]);
  expect(await runCommand(['audit'], space.env)).toMatchObject({ code: 0 });
}

test('a burst brings workers, and its end takes them: drained, with nothing lost', async () => {
  const fleet = await startMember('fleet', { ...space.env, ...scale });
  // A worker is ready a moment before its row says so.
  await until(async () => expect(await running()).toBe(1));
  await postAll(await urlOf(fleet), slowly(240));
  await until(() => expect(changes(fleet)).toContain(3));
  await until(async () => expect(await running()).toBe(3));
  await isWhole(240);
  await until(() => expect(changes(fleet).at(-1)).toBe(1));
  await until(async () => expect(await running()).toBe(1));
  expect(Math.max(...changes(fleet))).toBe(3);
  expect(linesOf(fleet).filter((line) => line.msg === 'member died; restarting')).toEqual([]);
  // Once more: places that were left are taken again. How many depends on how fast the burst comes in.
  await postAll(await urlOf(fleet), slowly(240));
  await until(async () => expect(await running()).toBeGreaterThan(1));
  await isWhole(480);
  expect(await fleet.stop()).toBe(0);
});

test('the broker restarts while workers are added: they stay as they are until it is back', async () => {
  const fleet = await startMember('fleet', { ...space.env, ...scale });
  await postAll(await urlOf(fleet), slowly(250));
  await until(() => expect(changes(fleet).length).toBeGreaterThan(0));
  await servers.broker.kill();
  await until(() => expect(stays(fleet)).toContain('the broker does not say how much waits'));
  const before = changes(fleet).length;
  await postAll(await urlOf(fleet), slowly(100));
  expect(changes(fleet).length).toBe(before);
  await servers.broker.start();
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 350 }));
  expect(await runCommand(['audit'], space.env)).toMatchObject({ code: 0 });
  await until(() => expect(changes(fleet).at(-1)).toBe(1));
  expect(await fleet.stop()).toBe(0);
});

test('no more workers than there are connections for, and it says why', async () => {
  const [before] = await rows<{ n: number }>(space.database, 'SELECT @@max_connections AS n');
  await space.database.query('SET GLOBAL max_connections = 40');
  try {
    const fleet = await startMember('fleet', { ...space.env, ...scale, DATABASE_POOL_SIZE: '10' });
    await postAll(await urlOf(fleet), slowly(250));
    await until(() => expect(stays(fleet).join('\n')).toContain('the database has no connections for more workers'));
    expect(await running()).toBeLessThan(3);
    await isWhole(250);
    expect(await fleet.stop()).toBe(0);
  } finally {
    await space.database.query('SET GLOBAL max_connections = ?', [before?.n]);
  }
});

test('a new worker that cannot start leaves the others at work', async () => {
  const fleet = await startMember('fleet', { ...space.env, ...scale });
  await space.database.query('RENAME TABLE afterword_migrations TO hidden_migrations');
  await postAll(await urlOf(fleet), slowly(150));
  await until(() => expect(linesOf(fleet).some((line) => line.msg === 'member died; restarting')).toBe(true));
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 150 }));
  await space.database.query('RENAME TABLE hidden_migrations TO afterword_migrations');
  expect(await fleet.stop()).toBe(0);
});
