import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Events that the broker loses come back soon, and events that it merely holds for a long time are left alone. */

let space: Namespace;
let api: Member;
let broker: BrokerHand;

beforeEach(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      LOST_AFTER_MS: '1500',
      PUBLISH_GRACE_MS: '3000',
      SCORING_THREADS: '1',
      LOG_LEVEL: 'info',
    },
  );
  api = await startMember('api', space.env);
  broker = await openBroker(inject('rabbitmqUrl'));
  await vi.waitFor(async () => expect((await call(api.url, 'GET', '/readyz')).body.broker).toBe('up'), {
    timeout: 10_000,
  });
});
afterEach(async () => {
  await broker.close();
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

const queued = (n: number) =>
  vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(n), { timeout: 20_000, interval: 50 });
/** All are marked as published: their due time is hours away. */
const marked = (n: number) =>
  vi.waitFor(
    async () =>
      expect(
        await rows(
          space.database,
          'SELECT 1 FROM conversation_events WHERE next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL 2 HOUR',
        ),
      ).toHaveLength(n),
    { timeout: 20_000, interval: 50 },
  );
const duplicates = (worker: Member) =>
  worker.lines
    .filter((line) => line.includes('"stopped"'))
    .map((line) => (JSON.parse(line) as { duplicate?: number }).duplicate ?? 0);

test('a purged queue: its events are published again and scored, once each', async () => {
  await postAll(
    api.url,
    Array.from({ length: 40 }, () => conversation()),
  );
  await queued(40);
  await marked(40);
  await broker.channel.purgeQueue(space.queue);
  const worker = await startMember('worker', space.env);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 40 }), {
    timeout: 40_000,
    interval: 100,
  });
  expect(await wrongSums(space.database)).toEqual([]);
  expect(api.lines.join() + worker.lines.join()).toContain('the broker lost these events');
  expect(await worker.stop()).toBe(0);
});

test('a deleted queue: it is declared again, and its events come back', async () => {
  await postAll(
    api.url,
    Array.from({ length: 20 }, () => conversation()),
  );
  await queued(20);
  await marked(20);
  const worker = await startMember('worker', { ...space.env, MESSAGE_CONCURRENCY_PER_WORKER: '1' });
  await broker.channel.deleteQueue(space.queue);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 20 }), {
    timeout: 40_000,
    interval: 100,
  });
  expect(await wrongSums(space.database)).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

test('a backlog older than REPUBLISH_AFTER_MS is not published again while the queue is not empty', async () => {
  const env = { ...space.env, REPUBLISH_AFTER_MS: '4000', RETRY_BASE_MS: '100', RETRY_CAP_MS: '1000' };
  const impatient = await startMember('api', env);
  await vi.waitFor(async () => expect((await call(impatient.url, 'GET', '/readyz')).body.broker).toBe('up'), {
    timeout: 10_000,
  });
  await postAll(
    impatient.url,
    Array.from({ length: 24 }, () => conversation({ metadata: { act: 'burn', ms: 300 } })),
  );
  await queued(24);
  const worker = await startMember('worker', { ...env, MESSAGE_CONCURRENCY_PER_WORKER: '2' });
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 24 }), {
    timeout: 40_000,
    interval: 100,
  });
  expect(await worker.stop()).toBe(0);
  expect(await impatient.stop()).toBe(0);
  expect(duplicates(worker)).toEqual([0]);
  expect(impatient.lines.join() + worker.lines.join()).not.toContain('relay: published due events');
});

test('neither a backlog that takes long nor long attempts behind an empty queue are taken for lost', async () => {
  await postAll(
    api.url,
    Array.from({ length: 12 }, () => conversation({ metadata: { act: 'burn', ms: 600 } })),
  );
  await marked(12);
  const worker = await startMember('worker', { ...space.env, MESSAGE_CONCURRENCY_PER_WORKER: '4' });
  // The last four run one after another behind an empty queue, for longer than it takes an event to count as lost.
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 12 }), {
    timeout: 40_000,
    interval: 100,
  });
  const slow = conversation({ metadata: { act: 'burn', ms: 6_000 } });
  await post(api.url, slow);
  await vi.waitFor(
    async () =>
      expect((await call(api.url, 'GET', `/v1/conversations/${slow.conversation_id}`)).body.status).toBe('PROCESSED'),
    {
      timeout: 30_000,
      interval: 100,
    },
  );
  expect(await worker.stop()).toBe(0);
  expect(duplicates(worker)).toEqual([0]);
  expect(api.lines.join() + worker.lines.join()).not.toContain('the broker lost these events');
});
