import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import type { EventId } from '../../src/event/event.ts';
import {
  claimDue,
  extendDue,
  insertEvents,
  makeLostDue,
  markConfirmed,
  openStore,
  postpone,
  type Store,
} from '../../src/store/index.ts';
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
const republishAfterMs = 3_600_000;
const due = () =>
  rows<{ event_id: string; in_s: number }>(
    space.database,
    'SELECT event_id, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), next_attempt_at) AS in_s FROM conversation_events ' +
      'WHERE next_attempt_at IS NOT NULL',
  );

test('an event stored but never published (its API died in between) is published by another and scored', async () => {
  const events = Array.from({ length: 30 }, next);
  await insertEvents(store, events, { graceMs: 0, deadlineMs });
  const worker = await startMember('worker', space.env);
  await vi.waitFor(
    async () =>
      expect(await rows(space.database, "SELECT 1 FROM conversation_events WHERE status = 'PROCESSED'")).toHaveLength(
        30,
      ),
    { timeout: 20_000, interval: 100 },
  );
  expect(await due()).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

test('claims of two relays at once never overlap, and a claimed event is due again after the grace', async () => {
  const events = Array.from({ length: 200 }, next);
  await insertEvents(store, events, { graceMs: 0, deadlineMs });
  const claims = await Promise.all(
    Array.from({ length: 8 }, () => claimDue(store, { limit: 30, graceMs: 60_000, republishAfterMs, deadlineMs })),
  );
  const rest = await claimDue(store, { limit: 500, graceMs: 60_000, republishAfterMs, deadlineMs });
  const ids = [...claims, rest].flatMap((claimed) => claimed.events).map((e) => e.eventId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toHaveLength(200);
  expect((await claimDue(store, { limit: 500, graceMs: 60_000, republishAfterMs, deadlineMs })).events).toEqual([]);
  for (const row of await due()) expect(row.in_s).toBeGreaterThan(50);
  await space.database.query('DELETE FROM conversation_events');
});

describe('a confirm', () => {
  const afterConfirm = { graceMs: 60_000, republishAfterMs, deadlineMs };
  const insert = async (graceMs: number) => {
    const event = next();
    await insertEvents(store, [event], { graceMs, deadlineMs });
    return event.eventId;
  };
  const dueIn = async (eventId: string) => (await due()).find((row) => row.event_id === eventId)?.in_s;
  afterEach(() => space.database.query('DELETE FROM conversation_events'));

  test("moves a new event and a claimed one out of the relay's reach", async () => {
    const claimable = await insert(0);
    const { dueAt } = await claimDue(store, { limit: 1, graceMs: 60_000, republishAfterMs, deadlineMs });
    const fresh = await insert(60_000);
    const marks = [
      { eventId: fresh, dueAt: null, attemptCount: 0 },
      { eventId: claimable, dueAt, attemptCount: 0 },
    ];
    await markConfirmed(store, marks, afterConfirm);
    for (const { eventId } of marks) expect(await dueIn(eventId)).toBeGreaterThan(3_500);
  });

  test('that comes late leaves later changes alone', async () => {
    const events = await Promise.all([60_000, 60_000, 60_000].map(insert));
    const [retried = '', reopened = '', closed = ''] = events;
    const write = (values: string, eventId: string) =>
      space.database.query(`UPDATE conversation_events SET ${values} WHERE event_id = ?`, [eventId]);
    await write('next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL 9 SECOND', retried);
    await write('next_attempt_at = UTC_TIMESTAMP(3)', reopened);
    await write("status = 'SKIPPED', next_attempt_at = NULL", closed);
    // An operator's retry that a relay has claimed: this confirm belongs to the earlier publication.
    await claimDue(store, { limit: 1, graceMs: 30_000, republishAfterMs, deadlineMs });
    await markConfirmed(
      store,
      events.map((eventId) => ({ eventId, dueAt: null, attemptCount: 0 })),
      afterConfirm,
    );
    expect(await dueIn(retried)).toBeLessThan(10);
    expect(await dueIn(reopened)).toBeLessThan(31);
    expect(await dueIn(closed)).toBeUndefined();
  });

  test('does not wait for a row that another transaction holds, and leaves its change alone', async () => {
    const [held = '', free = ''] = await Promise.all([60_000, 60_000].map(insert));
    const operator = await space.database.getConnection();
    await operator.query('START TRANSACTION');
    await operator.query('UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3) WHERE event_id = ?', [
      held,
    ]);
    const stored = await markConfirmed(
      store,
      [held, free].map((eventId) => ({ eventId: eventId as EventId, dueAt: null, attemptCount: 0 })),
      afterConfirm,
    );
    expect(await dueIn(free)).toBeGreaterThan(3_500);
    expect(stored).toMatchObject({ moved: new Set([free]), held: new Set([held]) });
    await operator.query('COMMIT');
    operator.release();
    expect(await dueIn(held)).toBeLessThanOrEqual(0);
  });

  test('leaves alone a retry due at the very millisecond at which the insert was due', async () => {
    const eventId = await insert(60_000);
    await space.database.query('UPDATE conversation_events SET attempt_count = 1');
    await markConfirmed(store, [{ eventId, dueAt: null, attemptCount: 0 }], afterConfirm);
    expect(await dueIn(eventId)).toBeLessThan(61);
  });
});

describe('a published event that is due again', () => {
  const times = { graceMs: 60_000, republishAfterMs: 2_000, deadlineMs };
  const claim = async () => {
    const { events, dueAt } = await claimDue(store, { ...times, limit: 10 });
    return { dueAt, events: events.map(({ eventId, maybeQueued }) => ({ eventId, maybeQueued })) };
  };
  const published = async () => {
    const event = next();
    await insertEvents(store, [event], { graceMs: 60_000, deadlineMs });
    await markConfirmed(store, [{ eventId: event.eventId, dueAt: null, attemptCount: 0 }], {
      ...times,
      republishAfterMs: 0,
    });
    return event.eventId;
  };
  afterEach(() => space.database.query('DELETE FROM conversation_events'));

  test('is probably still in the queue, and is no longer due once postponed', async () => {
    const eventId = await published();
    const claimed = await claim();
    expect(claimed.events).toEqual([{ eventId, maybeQueued: true }]);
    await postpone(store, [{ eventId, dueAt: claimed.dueAt, attemptCount: 0 }], {
      ...times,
      republishAfterMs: 600_000,
    });
    expect((await due())[0]?.in_s).toBeGreaterThan(500);
  });

  test('is published again after four times REPUBLISH_AFTER_MS, whatever is in the queue', async () => {
    const eventId = await published();
    await space.database.query('UPDATE conversation_events SET published_at = published_at - INTERVAL 9 SECOND');
    expect((await claim()).events).toEqual([{ eventId, maybeQueued: false }]);
  });

  test('is not assumed to be in the queue once the broker has lost it', async () => {
    const eventId = await published();
    await space.database.query(
      'UPDATE conversation_events SET published_at = published_at - INTERVAL 3 SECOND, ' +
        'updated_at = updated_at - INTERVAL 3 SECOND, next_attempt_at = next_attempt_at + INTERVAL 1 HOUR',
    );
    expect(await makeLostDue(store, { lostAfterMs: 2_000, furthestRetryMs: 1_000, limit: 10, deadlineMs })).toBe(1);
    expect((await claim()).events).toEqual([{ eventId, maybeQueued: false }]);
  });
});

test('an event whose confirm takes long is kept from relays; only a mark with its new due time applies', async () => {
  const event = next();
  await insertEvents(store, [event], { graceMs: 2_000, deadlineMs });
  await space.database.query(
    'UPDATE conversation_events SET created_at = created_at - INTERVAL 1 SECOND, ' +
      'next_attempt_at = next_attempt_at - INTERVAL 1 SECOND',
  );
  const times = { graceMs: 2_000, republishAfterMs, deadlineMs };
  const { dueAt } = await extendDue(store, [{ eventId: event.eventId, dueAt: null, attemptCount: 0 }], times);
  await markConfirmed(store, [{ eventId: event.eventId, dueAt: null, attemptCount: 0 }], times);
  expect((await due())[0]?.in_s, 'of the due time that is gone').toBeLessThan(3);
  await markConfirmed(store, [{ eventId: event.eventId, dueAt, attemptCount: 0 }], times);
  expect((await due())[0]?.in_s).toBeGreaterThan(3_500);
  await space.database.query('DELETE FROM conversation_events');
});

test('the API marks what it published, and the message matches the contract', async () => {
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
    headers: { version: 2 },
  });
  // Ids and nothing else.
  expect(JSON.parse(message.content.toString())).toEqual({
    event_id: accepted.event_id,
    conversation_id: body.conversation_id,
    user_id: body.user_id,
    bot_id: body.bot_id,
  });
  expect(message.content.length).toBeLessThan(400);
  await vi.waitFor(async () => expect((await due())[0]?.in_s).toBeGreaterThan(20_000), { timeout: 10_000 });
  expect(await api.stop()).toBe(0);
  await broker.close();
});
