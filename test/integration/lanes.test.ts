import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { topologyNames } from '../../src/broker/index.ts';
import type { Lane } from '../../src/event/lane.ts';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** What is urgent comes first, nothing starves, no slot is empty while anything waits, and no worker takes more. */

const capacity = 6;
let space: Namespace;
let api: Member;
let broker: BrokerHand;
let queues: Readonly<Record<Lane, string>>;
beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '1',
      MESSAGE_CONCURRENCY_PER_WORKER: String(capacity),
      LANE_RULES: 'bot_type=STORY:low, bot_id=exam-*:high, agent_tag=reading:low',
      LOST_AFTER_MS: '2000',
    },
  );
  queues = topologyNames(space.queue).queues;
  broker = await openBroker(inject('rabbitmqUrl'));
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await broker.close();
  await space.dispose();
});
afterEach(async () => {
  for (const queue of Object.values(queues)) await broker.channel.purgeQueue(queue);
  for (const table of ['conversation_events', 'conversation_logs', 'friendship_status'])
    await space.database.query(`DELETE FROM ${table}`);
});

const waitFor = <T>(check: () => T | Promise<T>, timeout = 30_000) => vi.waitFor(check, { timeout, interval: 50 });
const depths = async () =>
  Object.fromEntries(
    await Promise.all(Object.entries(queues).map(async ([lane, queue]) => [lane, await broker.depth(queue)])),
  );
const many = (n: number, given: Record<string, unknown>) => Array.from({ length: n }, () => conversation(given));
const waiting = (ms: number) => ({ metadata: { act: 'wait', ms } });
async function startWorker(env: Record<string, string> = {}) {
  const port = await freePort();
  const worker = await startMember('worker', { ...space.env, METRICS_PORT: String(port), ...env });
  const details = async () => (await call(`http://127.0.0.1:${port}`, 'GET', '/health/detailed')).body;
  return { worker, details };
}
/** How many of each lane, in the order in which they were processed. */
const processedOrder = async () =>
  (
    await rows<{ lane: Lane }>(
      space.database,
      "SELECT lane FROM conversation_events WHERE status = 'PROCESSED' ORDER BY processed_at, event_id",
    )
  ).map(({ lane }) => lane);

describe('into a lane', () => {
  test.each([
    ['what the caller asks for', { priority: 'high' }, 'high'],
    ['what the caller asks for, whatever the rules say', { priority: 'normal', bot_type: 'STORY' }, 'normal'],
    ['a rule by type', { bot_type: 'STORY' }, 'low'],
    ['a rule by the beginning of an id', { bot_id: 'exam-7' }, 'high'],
    ['the first of two rules', { bot_id: 'exam-7', agent_tag: 'reading' }, 'high'],
    ['nothing', {}, 'normal'],
  ])('%s', async (_, given, lane) => {
    const body = conversation(given);
    expect((await post(api.url, body)).status).toBe(202);
    await waitFor(async () => expect(await broker.depth(queues[lane as Lane])).toBe(1));
    expect((await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`)).body).toMatchObject({ lane });
    // Sent again with another priority it is the same conversation, in its old lane.
    const again = await post(api.url, { ...body, priority: lane === 'low' ? 'high' : 'low' });
    expect(again).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' } });
    expect((await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`)).body).toMatchObject({ lane });
  });

  test.each(['urgent', 'HIGH', '', 1, ['high']])('%j is no priority', async (priority) => {
    const answer = await post(api.url, conversation({ priority }));
    expect(answer).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '/priority', detail: 'must be high, normal, low' }] },
    });
  });
});

test('one lane has all slots while the others have nothing to do, and never more', async () => {
  await postAll(api.url, many(60, { priority: 'low', ...waiting(500) }));
  const { worker, details } = await startWorker();
  let most = 0;
  await waitFor(async () => {
    const { deliveries, lanes } = await details();
    most = Math.max(
      most,
      deliveries.in_flight,
      lanes.reduce((n: number, { held }: { held: number }) => n + held, 0),
    );
    expect(lanes).toContainEqual({ lane: 'low', slots: capacity, held: capacity });
  });
  await waitFor(async () => {
    const { deliveries } = await details();
    most = Math.max(most, deliveries.in_flight);
    expect(await statuses(space.database)).toEqual({ PROCESSED: 60 });
  });
  expect(most).toBe(capacity);
  expect(await worker.stop()).toBe(0);
});

test('what is urgent overtakes a backlog, and the backlog goes on', async () => {
  await postAll(api.url, many(150, { priority: 'low', ...waiting(50) }));
  const { worker } = await startWorker();
  await waitFor(async () => expect((await processedOrder()).length).toBeGreaterThan(20));
  await postAll(api.url, many(60, { priority: 'high', ...waiting(50) }));
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 210 }));
  const order = await processedOrder();
  const [first, last] = [order.indexOf('high'), order.lastIndexOf('high')];
  // Of six slots, high has five and low has one; at the beginning and at the end, slots change hands.
  const lowMeanwhile = order.slice(first, last).filter((lane) => lane === 'low').length;
  expect(lowMeanwhile).toBeGreaterThan(3);
  expect(lowMeanwhile).toBeLessThan(45);
  expect(order.slice(last + 1).length).toBeGreaterThan(30);
  expect(await worker.stop()).toBe(0);
});

test('a single slot serves all lanes in turn', async () => {
  for (const priority of ['high', 'normal', 'low']) await postAll(api.url, many(40, { priority, ...waiting(60) }));
  const { worker } = await startWorker({ MESSAGE_CONCURRENCY_PER_WORKER: '1' });
  await waitFor(async () => expect((await processedOrder()).length).toBeGreaterThan(60), 60_000);
  const order = (await processedOrder()).slice(0, 60);
  const of = (lane: Lane) => order.filter((one) => one === lane).length;
  expect(of('high')).toBeGreaterThan(of('low'));
  expect(of('normal')).toBeGreaterThan(0);
  expect(await worker.stop()).toBe(0);
});

test('a worker that is kept for some lanes leaves the others alone, and the doctor says so', async () => {
  await postAll(api.url, [...many(5, { priority: 'high' }), ...many(5, { priority: 'low' })]);
  const { worker } = await startWorker({ WORKER_LANES: 'high,normal' });
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 5, PENDING: 5 }));
  expect(await depths()).toEqual({ high: 0, normal: 0, low: 5 });
  const { output } = await runCommand(['doctor', '--json'], space.env);
  expect(JSON.parse(output).findings).toContainEqual(
    expect.objectContaining({ check: 'lane', status: 'warn', found: expect.stringContaining(queues.low) }),
  );
  const other = await startWorker();
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 10 }));
  expect(await Promise.all([worker.stop(), other.worker.stop()])).toEqual([0, 0]);
});

test('what the broker loses of one lane comes back', async () => {
  await postAll(api.url, [...many(10, { priority: 'low' }), ...many(30, { priority: 'high', ...waiting(300) })]);
  await waitFor(async () => expect(await depths()).toEqual({ high: 30, normal: 0, low: 10 }));
  await broker.channel.deleteQueue(queues.low);
  const { worker } = await startWorker();
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 40 }), 60_000);
  expect(await worker.stop()).toBe(0);
});

test('who sends too much goes to the low lane, and is refused nothing; others stay where they are', async () => {
  const fair = await startMember('api', { ...space.env, FAIR_RATE: '20' });
  const loud = await postAll(fair.url, many(50, { user_id: 'user_loud', priority: 'high' }), 5);
  expect(new Set(loud.map(({ status }) => status))).toEqual(new Set([202]));
  await postAll(fair.url, many(5, { user_id: 'user_quiet' }));
  const found = await rows<{ user_id: string; lane: Lane; n: number }>(
    space.database,
    'SELECT user_id, lane, COUNT(*) AS n FROM conversation_events GROUP BY user_id, lane ORDER BY user_id, lane',
  );
  expect(found).toEqual([
    { user_id: 'user_loud', lane: 'high', n: 20 },
    { user_id: 'user_loud', lane: 'low', n: 30 },
    { user_id: 'user_quiet', lane: 'normal', n: 5 },
  ]);
  const { body } = await call(fair.url, 'GET', '/metrics');
  expect(body).toContain('afterword_lane_events_total{lane="low",why="noisy"} 30');
  expect(await fair.stop()).toBe(0);
});

test('the prefetch can be changed while lanes are at work', async () => {
  await postAll(api.url, many(100, { priority: 'low', ...waiting(600) }));
  const { worker, details } = await startWorker();
  await waitFor(async () =>
    expect((await details()).lanes).toContainEqual(expect.objectContaining({ lane: 'low', held: 6 })),
  );
  expect((await runCommand(['concurrency', '2'], space.env)).code).toBe(0);
  await waitFor(async () => {
    const { lanes } = await details();
    expect(lanes.reduce((n: number, { slots, held }: any) => n + Math.max(slots, held), 0)).toBeLessThanOrEqual(2);
  });
  expect((await runCommand(['concurrency', 'default'], space.env)).code).toBe(0);
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 100 }), 60_000);
  expect(await worker.stop()).toBe(0);
});
