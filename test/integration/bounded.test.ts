import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { conversation, post, postAll, samples, statuses } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { peakMiB } from '../support/memory.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { openRaw, type RawClient, rawPost } from '../support/raw-http.ts';

/**
 * However much waits outside, a process stays within its bounds. Checked by peak resident memory under growing load.
 */

let space: Namespace;
let broker: BrokerHand;
const members: Member[] = [];

beforeEach(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      LOG_LEVEL: 'fatal',
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: '1',
    },
  );
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterEach(async () => {
  for (const member of members.splice(0)) expect(await member.stop()).toBe(0);
  await broker.close();
  await space.dispose();
});

async function start(role: string, env: Record<string, string> = {}): Promise<Member> {
  const member = await startMember(role, { ...space.env, ...env });
  members.push(member);
  return member;
}

/**
 * A heap grows to its size in the first rounds; a leak goes on growing in all later ones. When a heap collects is
 * unpredictable, so a single peak means nothing: the median of the last rounds must be less than 1.2 times `settled`.
 */
function expectFlat(peaks: readonly number[], settled: number, mostMiB: number, what: string): void {
  process.stdout.write(`· ${what}: peaks ${peaks.map((peak) => Math.round(peak)).join(', ')} MiB\n`);
  expect(Math.max(...peaks)).toBeLessThan(mostMiB);
  expect(median(peaks.slice(-3))).toBeLessThan(settled * 1.2);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

test('10,000 clients while the database does not answer: 503 for each, and memory stays flat', {
  timeout: 300_000,
}, async () => {
  const clients = 10_000;
  const api = await start('api');
  expect((await post(api.url, conversation())).status).toBe(202);
  const bodies = samples().map((body, i) => JSON.stringify({ ...body, conversation_id: `slow_${i}` }));
  const requests = bodies.map((body) => rawPost(body, { 'content-length': Buffer.byteLength(body) }));
  const lock = await space.database.getConnection();
  await lock.query('LOCK TABLES conversation_events WRITE');
  const peaks: number[] = [];
  try {
    for (let wave = 0; wave < 8; wave++) {
      const open: RawClient[] = [];
      for (let i = 0; i < clients; i += 500)
        open.push(...(await Promise.all(Array.from({ length: 500 }, () => openRaw(api.url)))));
      for (const [i, client] of open.entries()) client.write(requests[i % requests.length] ?? '');
      const answers = await Promise.all(open.map((client) => client.statuses(1)));
      expect(answers.flat()).toEqual(Array(clients).fill(503));
      for (const client of open) client.socket.destroy();
      peaks.push(await peakMiB(api.pid));
    }
  } finally {
    await lock.query('UNLOCK TABLES');
    lock.release();
  }
  expectFlat(peaks, median(peaks.slice(2, 5)), 1_400, '8 times 10,000 clients');
  await vi.waitFor(async () => expect((await post(api.url, conversation())).status).toBe(202), { timeout: 30_000 });
});

test('a backlog of 200,000 stays in the broker', { timeout: 300_000 }, async () => {
  const [api, worker] = [await start('api'), await start('worker')];
  const body = conversation();
  const { event_id } = (await post(api.url, body)).body;
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 1 }), { timeout: 20_000 });
  // The same event again and again, with a realistic log.
  const message = { ...samples()[0], ...body, event_id, agent_tag: null, metadata: null };
  const peaks: number[] = [];
  for (const backlog of [5_000, 200_000]) {
    worker.signal('SIGSTOP');
    for (let i = 0; i < backlog; i += 1_000) {
      for (let n = 0; n < 1_000; n++) broker.publish(space.queue, message, { messageId: event_id });
      await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBeGreaterThan(i), {
        timeout: 60_000,
        interval: 5,
      });
    }
    worker.signal('SIGCONT');
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBeLessThan(backlog - 4_000), {
      timeout: 60_000,
      interval: 50,
    });
    peaks.push(await peakMiB(worker.pid));
  }
  await broker.channel.purgeQueue(space.queue);
  // Within the usual variation of a heap: 40 times the backlog is not 40 times the memory.
  expectFlat(peaks, (peaks[0] ?? 0) * 1.5, 350, 'backlog of 5,000, of 200,000');
});

test('a slow scorer holds its prefetch and no more', { timeout: 300_000 }, async () => {
  const [api, worker] = [await start('api'), await start('worker', { MESSAGE_CONCURRENCY_PER_WORKER: '50' })];
  const real = samples();
  const peaks: number[] = [];
  for (const load of [300, 3_000]) {
    const bodies = Array.from({ length: load }, (_, i) => ({
      ...real[i % real.length],
      conversation_id: `dependency_${load}_${i}`,
      metadata: { act: 'burn', ms: 2 },
    }));
    for (const answer of await postAll(api.url, bodies)) expect(answer.status).toBe(202);
    await vi.waitFor(async () => expect((await statuses(space.database))['PENDING'] ?? 0).toBe(0), {
      timeout: 120_000,
      interval: 200,
    });
    peaks.push(await peakMiB(worker.pid));
  }
  expectFlat(peaks, (peaks[0] ?? 0) * 1.5, 350, 'slow scorer, 300 and 3,000 waiting');
});

test('bodies at the size limit: some are refused with 503, and memory stays flat', { timeout: 300_000 }, async () => {
  const api = await start('api', { ACCEPT_BUFFER_BYTES: String(16 * 1_048_576) });
  const large = 'a'.repeat(1_040_000);
  const peaks: number[] = [];
  const seen = new Map<number, number>();
  for (let round = 0; round < 10; round++) {
    const bodies = Array.from({ length: 40 }, () =>
      conversation({ conversation_log: [{ speaker: 'user', text: large }] }),
    );
    const answers = await Promise.all(bodies.map((body) => post(api.url, body).catch(() => ({ status: 503 }))));
    for (const { status } of answers) seen.set(status, (seen.get(status) ?? 0) + 1);
    peaks.push(await peakMiB(api.pid));
  }
  expect([...seen.keys()].every((status) => status === 202 || status === 503)).toBe(true);
  expect(seen.get(202)).toBeGreaterThan(20);
  expectFlat(peaks, median(peaks.slice(2, 6)), 900, '10 times 40 bodies of 1 MiB');
});
