import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, post, postAll, rows } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** A message only points at its event: a worker goes by the rows in the database. */

let folder: string;
let space: Namespace;
let api: Member;
let broker: BrokerHand;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'afterword-load-'));
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/counted-scorer.ts', import.meta.url)),
      SCORING_THREADS: '1',
      RUNS: join(folder, 'runs'),
    },
  );
  api = await startMember('api', space.env);
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterAll(async () => {
  await broker.close();
  expect(await api.stop()).toBe(0);
  await space.dispose();
  await rm(folder, { recursive: true });
});

const becomes = (id: string, expected: object) =>
  vi.waitFor(async () => expect((await call(api.url, 'GET', `/v1/conversations/${id}`)).body).toMatchObject(expected), {
    timeout: 20_000,
  });

/** What the scorer was given for this conversation, one text per run. */
async function runsOf(id: string): Promise<string[]> {
  const lines = (await readFile(join(folder, 'runs'), 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line)).flatMap((run) => (run.conversation_id === id ? [run.said] : []));
}

/** Accepts an event and takes its message away: no worker has heard of it yet. */
async function unheard(body: object): Promise<string> {
  const { body: accepted } = await post(api.url, body);
  await vi.waitFor(async () => expect(await broker.takeAll(space.queue)).toHaveLength(1), { timeout: 20_000 });
  return accepted.event_id;
}

async function withWorker(work: () => Promise<void>): Promise<void> {
  const worker = await startMember('worker', space.env);
  await work();
  expect(await worker.stop()).toBe(0);
}

test('fifty more deliveries of a processed event are answered without a scoring', async () => {
  await withWorker(async () => {
    const body = conversation();
    const { body: accepted } = await post(api.url, body);
    await becomes(body.conversation_id, { status: 'PROCESSED' });
    for (let i = 0; i < 50; i++)
      broker.publish(space.queue, { event_id: accepted.event_id }, { messageId: accepted.event_id });
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(0), { timeout: 20_000 });
    // Queued behind all of them.
    const last = conversation();
    await post(api.url, last);
    await becomes(last.conversation_id, { status: 'PROCESSED' });
    expect(await runsOf(body.conversation_id)).toHaveLength(1);
    expect(await broker.depth(space.deadQueue)).toBe(0);
  });
});

const others: [string, (event: { event_id: string; conversation_id: string }) => object][] = [
  ['names the conversation and nothing else', ({ conversation_id }) => ({ conversation_id })],
  [
    'carries a log other than the accepted one',
    (event) => ({ ...event, conversation_log: [{ speaker: 'user', text: 'not this' }] }),
  ],
  [
    'carries fields that make no sense',
    ({ event_id }) => ({ event_id, conversation_log: 7, metadata: [], user_id: null }),
  ],
];
test.each(others)("another publisher's message that %s is scored by the rows", async (_name, message) => {
  const body = conversation({ conversation_log: [{ speaker: 'user', text: 'this' }] });
  const event_id = await unheard(body);
  broker.publish(space.queue, message({ event_id, conversation_id: body.conversation_id }));
  await withWorker(() => becomes(body.conversation_id, { status: 'PROCESSED' }));
  expect(await runsOf(body.conversation_id)).toEqual(['this']);
});

test('an event whose log is gone fails, says why, and is dead-lettered', async () => {
  const body = conversation();
  const event_id = await unheard(body);
  await space.database.query('DELETE FROM conversation_logs WHERE event_id = ?', [event_id]);
  broker.publish(space.queue, { event_id }, { messageId: event_id });
  await withWorker(async () => {
    await becomes(body.conversation_id, { status: 'FAILED', error: { code: 'LOG_MISSING' } });
    await vi.waitFor(async () => expect(await broker.peekIds(space.deadQueue)).toEqual(new Set([event_id])));
    // Not an empty one: that would be a conversation in which nothing was said.
    const { body: shown } = await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}?include=log`);
    expect(shown).toMatchObject({ conversation_log: null });
  });
});

test('concurrent batches with the same new conversations leave one log per event', async () => {
  const bodies = Array.from({ length: 50 }, () => conversation());
  const answers = await postAll(
    api.url,
    [...bodies, ...bodies, ...bodies, ...bodies].sort(() => Math.random() - 0.5),
    100,
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(200).fill(202));
  const unmatched = await rows(
    space.database,
    `SELECT event_id FROM conversation_events LEFT JOIN conversation_logs USING (event_id)
      WHERE conversation_log IS NULL AND status <> 'FAILED'
     UNION ALL SELECT event_id FROM conversation_logs LEFT JOIN conversation_events USING (event_id)
     WHERE conversation_id IS NULL`,
  );
  expect(unmatched).toEqual([]);
});
