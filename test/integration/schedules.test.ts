import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { topologyNames } from '../../src/broker/index.ts';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, statuses } from '../support/client.ts';
import { explain } from '../support/explain.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** A conversation may be accepted now and scored later: not before its time, soon after it, and not lost meanwhile. */

let space: Namespace;
let api: Member;
let broker: BrokerHand;
beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { PUBLISH_GRACE_MS: '500', LOST_AFTER_MS: '1000' },
  );
  broker = await openBroker(inject('rabbitmqUrl'));
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await broker.close();
  await space.dispose();
});
beforeEach(async () => {
  for (const table of ['conversation_events', 'conversation_logs', 'friendship_status', 'friendship_topic_metrics'])
    await space.database.query(`DELETE FROM ${table}`);
});

const inSeconds = (n: number) => new Date(Date.now() + n * 1_000).toISOString();
/** A body that is to be scored in so many seconds. */
function later(seconds: number) {
  const process_after = inSeconds(seconds);
  return { ...conversation(), process_after };
}
const shown = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${id}`)).body;
const waitFor = <T>(check: () => T | Promise<T>, timeout = 30_000) => vi.waitFor(check, { timeout, interval: 50 });
const queued = async () => {
  const { queues } = topologyNames(space.queue);
  const depths = await Promise.all(Object.values(queues).map((queue) => broker.depth(queue)));
  return depths.reduce((a, b) => a + b, 0);
};

test('not before its time, and soon after it, whoever has died meanwhile', async () => {
  const own = await startMember('api', space.env, { mayDie: true });
  const body = later(4);
  const answer = await post(own.url, body);
  expect(answer.status).toBe(202);
  expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(3);
  own.signal('SIGKILL');
  const worker = await startMember('worker', space.env);
  expect(await shown(body.conversation_id)).toMatchObject({
    status: 'PENDING',
    process_after: body.process_after,
    next_attempt_at: expect.any(String),
  });
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 1 }));
  const { processed_at, process_after } = await shown(body.conversation_id);
  expect(Date.parse(processed_at)).toBeGreaterThanOrEqual(Date.parse(process_after) - 50);
  expect(await worker.stop()).toBe(0);
});

test('the same conversation again, with another time or none, is a repeat: it stays as it was', async () => {
  const body = later(3_600);
  await post(api.url, body);
  const { process_after: _, ...without } = body;
  for (const again of [body, without, { ...body, process_after: inSeconds(7_200) }])
    expect(await post(api.url, again)).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' } });
  expect((await shown(body.conversation_id)).process_after).toBe(body.process_after);
});

test('a time that has passed is now', async () => {
  const body = later(-60);
  await post(api.url, body);
  await waitFor(async () => expect(await queued()).toBe(1));
  expect((await shown(body.conversation_id)).process_after).toBeNull();
  await broker.channel.purgeQueue(space.queue);
});

test.each([
  [inSeconds(31 * 86_400), 'must not be more than 30 days ahead'],
  ['tomorrow', 'must be an ISO 8601 date and time'],
  ['2026-12-24T20:00:00', 'must be an ISO 8601 date and time with zone'],
  [5, 'must be a string'],
])('%j is refused', async (process_after, detail) => {
  expect(await post(api.url, conversation({ process_after }))).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/process_after', detail: expect.stringContaining(detail) }] },
  });
});

test('what waits for its time is neither lost, nor old, nor exported, nor republished', async () => {
  const bodies = Array.from({ length: 20 }, () => later(3_600));
  for (const body of bodies) await post(api.url, body);
  const worker = await startMember('worker', space.env);
  const republished = await runCommand(['events', 'republish', '--older-than', '0s', '--json'], space.env);
  expect(JSON.parse(republished.output)).toEqual({ republished: 0 });
  // Later ones pass it.
  const now = conversation();
  await post(api.url, now);
  await waitFor(async () => expect((await shown(now.conversation_id)).status).toBe('PROCESSED'));
  expect(await statuses(space.database)).toEqual({ PENDING: 20, PROCESSED: 1 });
  await waitFor(async () => {
    const { body } = await call(api.url, 'GET', '/metrics');
    expect(body).toMatch(/^afterword_oldest_open_event_age_seconds 0$/m);
  });
  expect((await call(api.url, 'GET', '/v1/conversations/export')).body).not.toContain('"PENDING"');
  expect(await runCommand(['audit', '--json'], space.env)).toMatchObject({ code: 0 });
  expect(await worker.stop()).toBe(0);
});

test('an operator may have it run at once, or skip it', async () => {
  const [early, never] = [later(3_600), later(3_600)];
  for (const body of [early, never]) await post(api.url, body);
  const worker = await startMember('worker', space.env);
  expect(await runCommand(['events', 'run-now', early.conversation_id], space.env)).toMatchObject({
    code: 0,
    output: expect.stringContaining('is due now'),
  });
  await waitFor(async () => expect((await shown(early.conversation_id)).status).toBe('PROCESSED'));
  expect((await call(api.url, 'POST', `/v1/conversations/${never.conversation_id}/skip`)).status).toBe(202);
  expect(await runCommand(['events', 'run-now', never.conversation_id], space.env)).toMatchObject({
    code: 1,
    output: expect.stringContaining('only open events are run'),
  });
  expect((await runCommand(['actions'], space.env)).output).toContain('run-now');
  expect(await worker.stop()).toBe(0);
});

test('a hundred thousand that wait cost nothing: what is due is found in one range of an index', async () => {
  await space.database.query(
    `INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time,
       end_time, request_digest, status, next_attempt_at, created_at, updated_at)
     WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000),
       m AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM m WHERE i < 100)
     SELECT CONCAT('ffffffff-0000-7', LPAD(HEX(m.i), 3, '0'), '-8000-', LPAD(HEX(n.i), 12, '0')),
       CONCAT('later_', m.i, '_', n.i), 'user_later', 'TALK', 'b', 'B', '2026-01-01', '2026-01-02', REPEAT('x', 32),
       'PENDING', UTC_TIMESTAMP(3) + INTERVAL 10 DAY, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM m CROSS JOIN n`,
  );
  await space.database.query('ANALYZE TABLE conversation_events');
  const plan = await explain(
    space.database,
    `SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_due)
     WHERE next_attempt_at <= UTC_TIMESTAMP(3) ORDER BY next_attempt_at LIMIT 200`,
  );
  expect(Number(plan[0]?.rows)).toBeLessThan(10);
});
