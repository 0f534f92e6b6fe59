import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, postAll, rows, statuses } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/**
 * Prefetch is parallelism: up to W × C deliveries are processed at the same time, on at most as many threads as there
 * are cores.
 */

const [workers, concurrency] = [2, 20];
let space: Namespace;
let api: Member;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '1',
      MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
      DRAIN_MS: '500',
    },
  );
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

/** Answers nobody before so many ask at the same time. */
async function startMeeting(party: number) {
  const waiting: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    waiting.push(response);
    if (waiting.length === party) for (const one of waiting) one.end('met');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close(), waiting };
}

test('W x C scorings are in flight at once: none ends before all that the fleet may hold have begun', async () => {
  const meeting = await startMeeting(workers * concurrency);
  const fleet = await Promise.all(Array.from({ length: workers }, () => startMember('worker', space.env)));
  const bodies = Array.from({ length: workers * concurrency }, () =>
    conversation({ metadata: { act: 'fetch', url: meeting.url } }),
  );
  await postAll(api.url, bodies);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: bodies.length }), {
    timeout: 20_000,
    interval: 100,
  });
  expect(meeting.waiting).toHaveLength(bodies.length);
  meeting.close();
  expect(await rows(space.database, 'SELECT 1 FROM conversation_events WHERE attempt_count > 0')).toEqual([]);
  const consuming = fleet.map(({ lines }) => JSON.parse(lines.find((line) => line.includes('"consuming"')) ?? '{}'));
  for (const line of consuming)
    expect(line).toMatchObject({ prefetch: concurrency, concurrent: concurrency, threads: 1 });
  for (const worker of fleet) expect(await worker.stop()).toBe(0);
});

test('work waiting when the drain is over goes back with no attempt used, and the next worker scores it', async () => {
  const worker = await startMember('worker', space.env);
  const bodies = Array.from({ length: concurrency }, () => conversation({ metadata: { act: 'wait', ms: 4_000 } }));
  await postAll(api.url, bodies);
  await vi.waitFor(async () => expect((await statuses(space.database))['PROCESSING']).toBe(concurrency), {
    timeout: 20_000,
    interval: 50,
  });
  expect(await worker.stop()).toBe(0);
  expect(worker.lines.filter((line) => line.includes('not finished in time'))).toHaveLength(1);
  const open = await rows<{ n: number }>(
    space.database,
    'SELECT COUNT(*) AS n FROM conversation_events WHERE next_attempt_at IS NOT NULL AND attempt_count = 0 ' +
      'AND suspect_starts = 0 AND error_code IS NULL',
  );
  expect(open[0]?.n).toBe(concurrency);
  const next = await startMember('worker', space.env);
  for (const { conversation_id } of bodies) {
    await vi.waitFor(
      async () =>
        expect((await call(api.url, 'GET', `/v1/conversations/${conversation_id}`)).body).toMatchObject({
          status: 'PROCESSED',
          attempt_count: 0,
        }),
      { timeout: 30_000, interval: 100 },
    );
  }
  expect(await next.stop()).toBe(0);
});
