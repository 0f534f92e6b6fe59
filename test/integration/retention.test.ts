import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { firstEventIdAt } from '../../src/event/event.ts';
import { call, conversation, post, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Old texts and events go; what they came to stays; nothing that is open, new or uncounted goes with them. */

let space: Namespace;
/** Keeps everything. */
let api: Member;
let worker: Member;
/** Days after which everything goes, for commands and APIs that are told so. */
const retention = { TEXT_RETENTION_DAYS: '30', EVENT_RETENTION_DAYS: '60' };
const tables = [
  'conversation_events',
  'conversation_logs',
  'friendship_status',
  'friendship_topic_metrics',
  'friendship_ledger',
  'maintenance_runs',
];

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', { ...space.env, MAINTENANCE_SCHEDULE: 'off' });
  worker = await startMember('worker', { ...space.env, MAX_ATTEMPTS: '1' });
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});
beforeEach(async () => {
  for (const table of tables) await space.database.query(`DELETE FROM ${table}`);
});

const day = 86_400_000;
const daysAgo = (n: number) => new Date(Date.now() - n * day);
const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 30_000, interval: 50 });
const count = async (table: string) =>
  Number((await rows<{ n: number }>(space.database, `SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
const run = async (job: string, env: Record<string, string> = retention) => {
  const { code, output } = await runCommand(['jobs', 'run', job, '--json'], { ...space.env, ...env });
  return { code, ...JSON.parse(output) } as { code: number; state: string; removed: number; detail: string };
};
const audit = async () => {
  const { code, output } = await runCommand(['audit', '--json'], space.env);
  return { code, violations: JSON.parse(output).violations };
};
const sound = { code: 0, violations: [] };

/** Accepts and processes conversations, and makes them as if that had been so many days ago. */
async function processed(n: number, ago: number, more: Record<string, unknown> = {}): Promise<string[]> {
  const bodies = Array.from({ length: n }, () => conversation({ agent_tag: 'pets', ...more }));
  for (const body of bodies) expect((await post(api.url, body)).status).toBe(202);
  const ids = bodies.map((body) => body.conversation_id);
  await until(async () =>
    expect(
      await rows(
        space.database,
        "SELECT 1 FROM conversation_events WHERE conversation_id IN (?) AND status IN ('PENDING', 'PROCESSING')",
        [ids],
      ),
    ).toEqual([]),
  );
  await makeOld(ids, ago);
  return ids;
}

async function makeOld(ids: readonly string[], ago: number): Promise<void> {
  const prefix = firstEventIdAt(daysAgo(ago)).slice(0, 14);
  const [found] = await space.database.query('SELECT event_id FROM conversation_events WHERE conversation_id IN (?)', [
    ids,
  ]);
  const eventIds = (found as { event_id: string }[]).map((row) => row.event_id);
  for (const table of ['conversation_events', 'conversation_logs'])
    await space.database.query(
      `UPDATE ${table} SET event_id = CONCAT(?, SUBSTRING(event_id, 15)) WHERE event_id IN (?)`,
      [prefix, eventIds],
    );
  await space.database.query(
    `UPDATE conversation_events SET created_at = ?, updated_at = ?, processed_at = IF(processed_at IS NULL, NULL, ?)
     WHERE conversation_id IN (?)`,
    [daysAgo(ago), daysAgo(ago), daysAgo(ago), ids],
  );
}

const shown = (id: string) => call(api.url, 'GET', `/v1/conversations/${id}?include=log`);
const textsOf = async (ids: readonly string[]) =>
  (await Promise.all(ids.map(async (id) => (await shown(id)).body.conversation_log))).map((log) => log !== null);

test('texts of closed events go after their days; newer ones, open ones and every result stay', async () => {
  const [old, young] = [await processed(5, 31), await processed(3, 29)];
  const later = new Date(Date.now() + day).toISOString();
  const open = conversation({ process_after: later });
  await post(api.url, open);
  await makeOld([open.conversation_id], 31);
  expect(await run('text-retention')).toMatchObject({ code: 0, state: 'done', removed: 5 });
  expect(await textsOf([...old, ...young, open.conversation_id])).toEqual([
    ...Array(5).fill(false),
    ...Array(4).fill(true),
  ]);
  expect((await shown(old[0] as string)).body).toMatchObject({ status: 'PROCESSED', result: expect.any(Object) });
  expect(await run('text-retention')).toMatchObject({ state: 'done', removed: 0 });
  expect(await audit()).toEqual(sound);
});

test('without its text a FAILED event is not tried again, and says so', async () => {
  const [id = ''] = await processed(1, 31);
  await space.database.query(
    `UPDATE conversation_events SET status = 'FAILED', error_code = 'X', processed_at = NULL,
       friendship_score_change = NULL, new_friendship_level = NULL WHERE conversation_id = ?`,
    [id],
  );
  await run('text-retention');
  const refused = await call(api.url, 'POST', `/v1/conversations/${id}/retry`);
  expect(refused).toMatchObject({ status: 409, body: { code: 'text_removed' } });
  const many = await call(api.url, 'POST', '/v1/conversations/retry', { status: 'FAILED' });
  expect(many.body).toEqual({ retried: 0 });
  expect(await runCommand(['events', 'retry', id], space.env)).toMatchObject({
    code: 1,
    output: expect.stringContaining('was removed'),
  });
  expect(await statuses(space.database)).toEqual({ FAILED: 1 });
});

test('events go, and the audit still knows why a score is what it is, before and after more', async () => {
  await processed(7, 61, { user_id: 'user_old' });
  await processed(450, 90, { user_id: 'user_many', agent_tag: 'cars' });
  await processed(2, 59, { user_id: 'user_old' });
  const before = await rows(space.database, 'SELECT * FROM friendship_status ORDER BY user_id');
  expect(await run('event-retention')).toMatchObject({ code: 0, state: 'done', removed: 457 });
  expect(await count('conversation_events')).toBe(2);
  expect(await count('conversation_logs')).toBe(2);
  expect(await rows(space.database, 'SELECT * FROM friendship_status ORDER BY user_id')).toEqual(before);
  expect(await audit()).toEqual(sound);
  await processed(3, 61, { user_id: 'user_old' });
  expect(await audit()).toEqual(sound);
  expect(await run('event-retention')).toMatchObject({ removed: 3 });
  expect(await audit()).toEqual(sound);
  await space.database.query("UPDATE friendship_status SET friendship_score = 1 WHERE user_id = 'user_many'");
  expect((await audit()).violations).toContainEqual(expect.objectContaining({ rule: 'friendship' }));
});

test('what is open stays, however old it is', async () => {
  const body = conversation({ process_after: new Date(Date.now() + day).toISOString() });
  await post(api.url, body);
  await makeOld([body.conversation_id], 400);
  await run('event-retention');
  expect(await statuses(space.database)).toEqual({ PENDING: 1 });
  expect(await textsOf([body.conversation_id])).toEqual([true]);
});

test('a conversation that was counted and removed is not counted again', async () => {
  const keeping = await startMember('api', { ...space.env, ...retention, RETENTION_SCHEDULE: 'off' });
  const removed = conversation();
  const kept = conversation();
  for (const body of [removed, kept]) await post(api.url, body);
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 2 }));
  await makeOld([removed.conversation_id], 61);
  await run('event-retention');
  expect(await post(keeping.url, removed)).toMatchObject({ status: 422, body: { code: 'conversation_too_old' } });
  expect(await post(keeping.url, kept)).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' } });
  const fresh = conversation({ start_time: daysAgo(59), end_time: daysAgo(58) });
  expect((await post(keeping.url, fresh)).status).toBe(202);
  await until(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 2 }));
  expect(await audit()).toEqual(sound);
  expect(await keeping.stop()).toBe(0);
});

const partitions = async () =>
  (
    await rows<{ name: string }>(
      space.database,
      `SELECT partition_name AS name FROM information_schema.partitions
       WHERE table_schema = DATABASE() AND table_name = 'conversation_logs' ORDER BY partition_ordinal_position`,
    )
  ).map(({ name }) => name);

test('months that are past go in one step, those with an open event row by row', async () => {
  const past = await rows<{ bound: string }>(
    space.database,
    `SELECT partition_description AS bound FROM information_schema.partitions
     WHERE table_schema = DATABASE() AND table_name = 'conversation_logs' AND partition_name = 'p_past'`,
  );
  const at = (ago: number) => `'${firstEventIdAt(daysAgo(ago))}'`;
  await space.database.query(
    `ALTER TABLE conversation_logs REORGANIZE PARTITION p_past INTO (PARTITION p_past VALUES LESS THAN (${at(160)}),
       PARTITION p_a VALUES LESS THAN (${at(130)}), PARTITION p_b VALUES LESS THAN (${at(100)}),
       PARTITION p_c VALUES LESS THAN (${past[0]?.bound}))`,
  );
  const [first, second, third] = [await processed(4, 140), await processed(3, 110), await processed(2, 31)];
  const open = conversation({ process_after: new Date(Date.now() + day).toISOString() });
  await post(api.url, open);
  await makeOld([open.conversation_id], 110);
  const ended = await run('text-retention');
  expect(ended.detail).toContain('p_a');
  expect(ended.detail).not.toContain('p_b');
  expect(await partitions()).not.toContain('p_a');
  expect(await textsOf([...first, ...second, ...third, open.conversation_id])).toEqual([...Array(9).fill(false), true]);
  await call(api.url, 'POST', `/v1/conversations/${open.conversation_id}/skip`);
  await run('text-retention');
  expect(await partitions()).not.toContain('p_b');
  expect(await count('conversation_logs')).toBe(0);
});

test('months are made ahead', async () => {
  const before = await partitions();
  const ahead = before.slice(-3, -1);
  await space.database.query(
    `ALTER TABLE conversation_logs REORGANIZE PARTITION ${ahead.join(', ')}, p_future INTO
       (PARTITION p_future VALUES LESS THAN (MAXVALUE))`,
  );
  await post(api.url, conversation());
  const made = await run('partitions');
  expect(made).toMatchObject({ state: 'done', detail: `made ${ahead.join(', ')}` });
  expect(await partitions()).toEqual(before);
  expect(await run('partitions')).toMatchObject({ state: 'done', detail: null });
});

test('a job without the right to remove fails with the reason, and is shown', async () => {
  await processed(1, 61);
  const poor = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {},
    { ownUser: true },
  );
  const user = new URL(poor.env['DATABASE_URL'] as string).username;
  await poor.database.query(`REVOKE ALL ON ${user}.* FROM '${user}'@'%'`);
  await poor.database.query(`GRANT SELECT, INSERT, UPDATE, LOCK TABLES ON ${user}.* TO '${user}'@'%'`);
  const { code, output } = await runCommand(['jobs', 'run', 'housekeeping'], poor.env);
  expect({ code, output }).toMatchObject({ code: 1, output: expect.stringMatching(/housekeeping failed.*denied/) });
  expect((await runCommand(['jobs'], poor.env)).output).toMatch(/failed/);
  const doctor = await runCommand(['doctor'], { ...poor.env, ...retention });
  expect(doctor.output).toContain('nothing can be removed by age: GRANT DELETE');
  await poor.dispose();
});

test('nothing is removed unless it was asked for', async () => {
  await processed(1, 4_000);
  for (const job of ['text-retention', 'event-retention'])
    expect(await run(job, {})).toMatchObject({ state: 'done', removed: 0, detail: expect.stringContaining('nothing') });
  expect(await count('conversation_logs')).toBe(1);
});
