import { afterEach, expect, inject, test, vi } from 'vitest';
import { conversation, post, rows, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { peakMiB } from '../support/memory.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
const members: Member[] = [];

afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
  await space.dispose();
});

/** Accepts `count` conversations that leak, before any worker runs. */
async function setUp(count: number, leak: Record<string, number>, env: Record<string, string>): Promise<void> {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: new URL('../fixtures/leaky-scorer.ts', import.meta.url).pathname,
      SCORING_THREADS: '1',
      MESSAGE_CONCURRENCY_PER_WORKER: '4',
      // As the fleet starts its workers: the allocator keeps less of what is freed.
      MALLOC_ARENA_MAX: '2',
      ...env,
    },
  );
  const api = await startMember('api', space.env);
  members.push(api);
  for (let i = 0; i < count; i++) expect((await post(api.url, conversation({ metadata: leak }))).status).toBe(202);
}

async function startWorker(options?: { mayDie: boolean }): Promise<Member> {
  const worker = await startMember('worker', space.env, options);
  members.push(worker);
  return worker;
}

const allProcessed = (count: number) =>
  vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: count }), {
    timeout: 60_000,
    interval: 100,
  });

/** Attempts that failed: of an event that a thread's death took down, the next is already the second. */
async function failedAttempts(): Promise<number> {
  const [row] = await rows<{ n: number }>(space.database, 'SELECT SUM(attempt_count) AS n FROM conversation_events');
  return Number(row?.n);
}

test('a thread whose scorer leaks its heap is replaced before it runs out, and no attempt fails', async () => {
  // 200 MiB through threads of 64.
  await setUp(400, { heapKib: 512, ms: 5 }, { SCORING_THREAD_MEMORY_MB: '64' });
  const worker = await startWorker();
  await allProcessed(400);
  expect(await failedAttempts()).toBe(0);
  const said = worker.lines.join('\n');
  expect(said).toContain('a worn scoring thread is replaced');
  expect(said).not.toContain('a scoring thread has ended');
});

test('a worker whose scorer leaks outside of the heap pauses, replaces its threads and goes on', async () => {
  // A gigabyte through a worker of 300 MiB.
  await setUp(250, { bufferKib: 4_096, ms: 20 }, { MEMORY_SOFT_LIMIT: '300M', MEMORY_HARD_LIMIT: '0' });
  const worker = await startWorker();
  await allProcessed(250);
  const peakMb = await peakMiB(worker.pid);
  expect(await failedAttempts()).toBe(0);
  const said = worker.lines.join('\n');
  expect(said).toContain('short of memory: nothing new is taken');
  expect(said).toContain('memory was given back; taking deliveries again');
  expect(said).not.toContain('a scoring thread has ended');
  expect(peakMb).toBeGreaterThan(300);
  expect(peakMb).toBeLessThan(700);
});

test('a worker above its hard limit ends with what it holds finished; its successors do the rest', async () => {
  await setUp(200, { bufferKib: 4_096, ms: 20 }, { MEMORY_SOFT_LIMIT: '0', MEMORY_HARD_LIMIT: '300M' });
  const ends: (number | NodeJS.Signals)[] = [];
  const done = allProcessed(200).then(() => 'done' as const);
  for (;;) {
    const worker = await startWorker({ mayDie: true });
    const first = await Promise.race([worker.ended, done]);
    if (first === 'done') break;
    ends.push(first);
    expect(worker.lines.join('\n')).toContain('out of memory soon: draining');
  }
  expect(ends.length).toBeGreaterThan(0);
  expect(ends.every((code) => code === 1)).toBe(true);
  expect(await failedAttempts()).toBe(0);
  expect(await wrongSums(space.database)).toEqual([]);
});

test('a limit that an idle worker exceeds is reported and ignored', async () => {
  await setUp(1, {}, { MEMORY_SOFT_LIMIT: '10M', MEMORY_HARD_LIMIT: '20M' });
  const worker = await startWorker();
  await allProcessed(1);
  expect(worker.lines.filter((line) => line.includes('the limit is ignored'))).toHaveLength(2);
});
