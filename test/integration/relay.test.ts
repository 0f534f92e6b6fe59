import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { claimDue, insertEvents, loadOutboxEvent, markConfirmed, openStore, type Store } from '../../src/store/index.ts';
import { openBroker } from '../support/broker.ts';
import { call, conversation, post, rows } from '../support/client.ts';
import { startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { newEvent } from '../support/new-event.ts';

let space: Namespace;
let store: Store;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 4, connectTimeoutMs: 5_000 });
});
afterAll(async () => {
  await store.close();
  await space.dispose();
});

let n = 0;
const next = () => newEvent(++n);
const deadlineMs = 5_000;
const due = () =>
  rows<{ event_id: string; in_s: number }>(
    space.database,
    'SELECT event_id, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), next_attempt_at) AS in_s FROM conversation_events WHERE next_attempt_at IS NOT NULL',
  );

test('an event that was stored and never published (its API died in between) is published and scored by whoever lives', async () => {
  const events = Array.from({ length: 30 }, next);
  await insertEvents(store, events, { graceMs: 0, deadlineMs });
  const worker = await startMember('worker', space.env);
  await vi.waitFor(
    async () => expect(await rows(space.database, "SELECT 1 FROM conversation_events WHERE status = 'PROCESSED'")).toHaveLength(30),
    { timeout: 20_000, interval: 100 },
  );
  expect(await due()).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

test('claims of two relays at once never overlap, and a claimed event is due again after the grace', async () => {
  const events = Array.from({ length: 200 }, next);
  await insertEvents(store, events, { graceMs: 0, deadlineMs });
  const claims = await Promise.all(Array.from({ length: 8 }, () => claimDue(store, { limit: 30, graceMs: 60_000, deadlineMs })));
  const rest = await claimDue(store, { limit: 500, graceMs: 60_000, deadlineMs });
  const ids = [...claims, rest].flat().map((e) => e.eventId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toHaveLength(200);
  expect(await claimDue(store, { limit: 500, graceMs: 60_000, deadlineMs })).toEqual([]);
  for (const row of await due()) expect(row.in_s).toBeGreaterThan(50);
  await space.database.query('DELETE FROM conversation_events');
});

test("a confirm moves the event out of the relay's way; a late one leaves a retry or a closed event alone", async () => {
  const [fresh, retried, reopened, closed] = [next(), next(), next(), next()];
  await insertEvents(store, [fresh, retried, reopened, closed], { graceMs: 60_000, deadlineMs });
  await space.database.query('UPDATE conversation_events SET attempt_count = 1 WHERE event_id = ?', [retried.eventId]);
  // What an operator's retry leaves: due now, attempts from 0 again.
  await space.database.query('UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3) WHERE event_id = ?', [reopened.eventId]);
  await space.database.query("UPDATE conversation_events SET status = 'SKIPPED', next_attempt_at = NULL WHERE event_id = ?", [
    closed.eventId,
  ]);
  const marks = [fresh, retried, reopened, closed].map((e) => ({ eventId: e.eventId, attemptCount: 0 }));
  await markConfirmed(store, marks, { republishAfterMs: 3_600_000, deadlineMs });
  const after = new Map((await due()).map((row) => [row.event_id, row.in_s]));
  expect(after.get(fresh.eventId)).toBeGreaterThan(3_500);
  expect(after.get(retried.eventId)).toBeLessThan(70);
  expect(after.get(reopened.eventId)).toBeLessThanOrEqual(0);
  expect(after.has(closed.eventId)).toBe(false);
  await space.database.query('DELETE FROM conversation_events');
});

test('a claim leaves out a log that is too large for a message', async () => {
  const [small, large] = [next(), { ...next(), logJson: JSON.stringify(['x'.repeat(65_536)]) }];
  await insertEvents(store, [small, large], { graceMs: 0, deadlineMs });
  const claimed = await claimDue(store, { limit: 10, graceMs: 60_000, deadlineMs });
  expect(claimed.find((e) => e.eventId === small.eventId)?.logJson).toBe('[]');
  expect(claimed.find((e) => e.eventId === large.eventId)?.logJson).toBeNull();
  expect((await loadOutboxEvent(store, { eventId: large.eventId }, deadlineMs))?.logJson).toBe(large.logJson);
  await space.database.query('DELETE FROM conversation_events');
});

test('the API marks what it published, and the message carries what the contract says', async () => {
  const broker = await openBroker(inject('rabbitmqUrl'));
  const api = await startMember('api', { ...space.env, PUBLISH_GRACE_MS: '2000' });
  await vi.waitFor(async () => expect((await call(api.url, 'GET', '/readyz')).body.broker).toBe('up'));
  const body = conversation();
  const { body: accepted } = await post(api.url, body);
  const message = await vi.waitFor(async () => {
    const [first] = await broker.takeAll(space.queue);
    if (!first) throw new Error('not published yet');
    return first;
  });
  expect(message.properties).toMatchObject({
    messageId: accepted.event_id,
    type: 'conversation.ended',
    contentType: 'application/json',
    deliveryMode: 2,
  });
  expect(JSON.parse(message.content.toString())).toMatchObject({
    event_id: accepted.event_id,
    conversation_id: body.conversation_id,
    conversation_log: [
      { speaker: 'pika', turn_id: 1 },
      { speaker: 'user', turn_id: 2 },
    ],
  });
  await vi.waitFor(async () => expect((await due())[0]?.in_s).toBeGreaterThan(20_000), { timeout: 10_000 });
  expect(await api.stop()).toBe(0);
  await broker.close();
});
