import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { connectRedis, liveSessions, type RedisLink } from '../../src/redis/index.ts';
import { createEndSession } from '../../src/sessions/end.ts';
import type { EndRequest, Limits, LiveSessions, NewMessage, StoredSessions } from '../../src/sessions/ports.ts';
import { createRecovery } from '../../src/sessions/recover.ts';
import { startSync } from '../../src/sessions/sync.ts';
import { createUnsynced } from '../../src/sessions/unsynced.ts';
import { openStore, type Store, storedSessions } from '../../src/store/index.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Two processes at the same session, in the order that hurts. What each would do is called step by step. */

let space: Namespace;
let store: Store;
let link: RedisLink;
let live: LiveSessions;
let stored: StoredSessions;
let redis: Redis;
const log = pino({ level: 'silent' });

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 4, connectTimeoutMs: 5_000 });
  stored = storedSessions(store, 5_000);
  const first = Promise.withResolvers<void>();
  link = connectRedis({
    url: inject('redisUrl'),
    name: 'races',
    recover: async () => {},
    mayHaveLost: async () => false,
    onFirst: (error) => (error === null ? first.resolve() : first.reject(error)),
    log,
  });
  await first.promise;
  live = liveSessions(link, { ttlMs: 60_000 });
  redis = new Redis(inject('redisUrl'));
});
afterAll(async () => {
  redis.disconnect();
  await link.close();
  await store.close();
  await space.dispose();
});

const limits: Limits = { messages: 2_000, bytes: 1e6, perMinute: 0, perMinuteOfUser: 0, pendingBytes: 1e9 };
const end: EndRequest = { conversationId: 'c', endTime: null, metadata: null, userId: null };
let n = 0;

async function begin(startedAt = new Date()) {
  const sessionId = `race-${process.pid}-${Date.now()}-${++n}`;
  const head = { sessionId, userId: 'u', botType: 'T', botId: 'b', botName: 'B', topicId: null, startedAt };
  await stored.create(head);
  await live.create(head, true);
  return head;
}
const message = (messageId: string): NewMessage => ({
  ...{ messageId, isNamed: true, role: 'user', text: messageId, sentAt: new Date() },
});
const say = (sessionId: string, ...ids: string[]) =>
  live.append(sessionId, ids.map(message), { limits, isAsked: false });
const claimOnly = async (sessionId: string) => {
  const { token, claims } = await live.claim({ dirtyForMs: 0, limit: 1_000, leaseMs: 60_000 });
  expect(claims.map((claim) => claim.sessionId)).toContain(sessionId);
  return token;
};
const pendingOf = async (sessionId: string) => {
  const pending = await live.readPending(sessionId, 1_000);
  if (pending === null) throw new Error('the session is gone');
  return pending;
};
const runOut = (sessionId: string) => redis.zadd('{sessions}:leased', 1, sessionId);
const texts = async (sessionId: string) => (await stored.messagesAfter(sessionId, 0, 100)).map((m) => m.text);

test('a sync that wakes up after its lease is fenced, writes nothing, and the next token is higher', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  const old = await claimOnly(sessionId);
  const slept = await pendingOf(sessionId);
  await runOut(sessionId);
  await say(sessionId, 'two');
  const next = await claimOnly(sessionId);
  expect(next).toBeGreaterThan(old);
  await stored.write([await pendingOf(sessionId)], next);
  const late = { ...slept, messages: slept.messages.map((one) => ({ ...one, messageId: 'late', position: 9 })) };
  expect(await stored.write([late], old)).toEqual([{ kind: 'fenced', sessionId, stored: 0, token: next }]);
  expect(await texts(sessionId)).toEqual(['one', 'two']);
  await redis.set('{sessions}:fence', '5'); // as after a loss of Redis whose clock was ahead
  await live.raiseFence(next + 1e9);
  await runOut(sessionId);
  expect(await claimOnly(sessionId)).toBeGreaterThan(next + 1e9);
  await redis.del('{sessions}:fence');
});

test('the end of a lease does not take away the mark of what came meanwhile', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  const token = await claimOnly(sessionId);
  const pending = await pendingOf(sessionId);
  await stored.write([pending], token);
  await say(sessionId, 'two');
  const { left, freedBytes } = await live.synced(sessionId, ['one']);
  expect(left).toBe(1);
  await live.release(sessionId, { token, freedBytes, dirtySince: null });
  await claimOnly(sessionId);
});

test('Redis does not forget a session that got a message between its sync and that', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  await stored.write([await pendingOf(sessionId)], 0);
  await live.synced(sessionId, ['one']);
  await say(sessionId, 'two');
  expect(await live.forget(sessionId, [])).toBe(false);
  expect((await live.view(sessionId))?.messages).toBe(2);
  await stored.write([await pendingOf(sessionId)], 0);
  await live.synced(sessionId, ['two']);
  expect(await live.forget(sessionId, [])).toBe(true);
  expect(await live.view(sessionId)).toBeNull();
});

test('a session stays detached while Redis has not forgotten it, or if it took messages since', async () => {
  const { sessionId } = await begin();
  await stored.take(sessionId, [message('away')], { unsynced: [], limits });
  const [seen] = (await stored.detached(100)).filter((one) => one.sessionId === sessionId);
  if (seen === undefined) throw new Error('the session is not detached');
  await space.database.query(
    'UPDATE chat_sessions SET detached_at = detached_at + INTERVAL 1 SECOND WHERE session_id = ?',
    [sessionId],
  );
  await stored.attach([seen]);
  expect((await stored.detached(100)).map((one) => one.sessionId)).toContain(sessionId);
});

test('copies are kept until what they are copies of is in the database', async () => {
  const { sessionId } = await begin();
  const unsynced = createUnsynced();
  await say(sessionId, 'one', 'two');
  unsynced.add(sessionId, (await pendingOf(sessionId)).messages);
  const syncOne = async () => true;
  const recovery = createRecovery({ live, stored, unsynced, syncOne, log });
  await recovery.retire(0);
  expect(unsynced.of(sessionId)).toHaveLength(2);
  await redis.del(`session:{${sessionId}}:msg:one`); // Redis has lost it
  await redis.zrem(`session:{${sessionId}}:pending_msgs`, 'one');
  await recovery.retire(0);
  expect(await texts(sessionId)).toEqual(['one']);
  expect(unsynced.of(sessionId).map((m) => m.messageId)).toEqual(['two']);
});

test('a text that Redis has lost is written from the copy', async () => {
  const { sessionId } = await begin();
  const unsynced = createUnsynced();
  await say(sessionId, 'one', 'two');
  unsynced.add(sessionId, (await pendingOf(sessionId)).messages);
  await redis.del(`session:{${sessionId}}:msg:one`);
  const sync = startSync({
    ...{ live, stored, unsynced, log },
    isUp: () => true,
    writeCopies: async () => {},
    intervalMs: 60_000,
  });
  await sync.one(sessionId);
  expect(await texts(sessionId)).toEqual(['one', 'two']);
  expect(unsynced.of(sessionId)).toEqual([]);
  await sync.close(1_000);
});

test('messages at the same place are both kept, in the order of their arrival', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'redis-1', 'redis-2');
  await stored.take(sessionId, [message('database')], { unsynced: [], limits });
  const [written] = await stored.write([await pendingOf(sessionId)], 0);
  expect(written).toMatchObject({ kind: 'written', stored: 2, moved: ['redis-1', 'redis-2'] });
  expect(await texts(sessionId)).toEqual(['database', 'redis-1', 'redis-2']);
  expect(await stored.find(sessionId)).toMatchObject({ messages: 3, questions: 3, lastPosition: 3 });
});

test('a session of another user is not written to', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  const pending = await pendingOf(sessionId);
  const foreign = { ...pending, session: { ...pending.session, userId: 'mallory' } };
  expect(await stored.write([foreign], 0)).toEqual([{ kind: 'foreign', sessionId, stored: 0 }]);
  expect(await texts(sessionId)).toEqual([]);
});

/** An end whose accept waits until it is told how it went. */
function ending(
  found: { eventId: string; userId: string; turns: { text: string; timestamp: string }[] } | null = null,
) {
  const accepts: ((how: 'accepted' | 'refused') => void)[] = [];
  const endSession = createEndSession({
    ...{ live, stored },
    isUp: () => true,
    load: async () => false,
    syncOne: async (sessionId) => {
      await stored.write([await pendingOf(sessionId)], 0);
      return true;
    },
    unsettledMs: () => 0,
    check: () => {},
    findEvent: async () => found,
    accept: () =>
      new Promise((resolve) =>
        accepts.push((how) =>
          resolve(
            how === 'accepted'
              ? { kind: 'accepted', eventId: '019a0000-0000-7000-8000-000000000001', replayed: false }
              : { kind: 'refused', why: new Error('the id is taken') },
          ),
        ),
      ),
  });
  const until = async (count: number) => {
    while (accepts.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  return { endSession, accepts, until };
}

test('a late refusal of one end does not undo another end that was begun since', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  const { endSession, accepts, until } = ending();
  const bad = endSession.end(sessionId, { ...end, conversationId: 'taken' });
  await until(1);
  const sweeps = endSession.finish(sessionId);
  await until(2);
  accepts[1]?.('refused');
  await expect(sweeps).rejects.toThrow('the id is taken');
  const good = endSession.end(sessionId, { ...end, conversationId: 'free' });
  await until(3);
  accepts[0]?.('refused');
  await expect(bad).rejects.toThrow('the id is taken');
  accepts[2]?.('accepted');
  expect(await good).toMatchObject({ conversationId: 'free', replayed: false });
  expect(await stored.find(sessionId)).toMatchObject({ state: 'ended', end: { conversationId: 'free' } });
});

test('an event that was accepted before its process died is the end, though more was said since', async () => {
  const { sessionId, userId } = await begin();
  await say(sessionId, 'one', 'late');
  const [one] = (await pendingOf(sessionId)).messages;
  if (one === undefined) throw new Error('there is no message');
  const turns = [{ text: one.text, timestamp: one.sentAt.toISOString() }];
  const earlier = { eventId: '019a0000-0000-7000-8000-000000000002', userId, turns };
  const { endSession, accepts, until } = ending(earlier);
  const ended = endSession.end(sessionId, end);
  await until(1);
  accepts[0]?.('refused');
  expect(await ended).toMatchObject({ eventId: earlier.eventId, replayed: true });
  expect(await stored.find(sessionId)).toMatchObject({ state: 'ended', eventId: earlier.eventId });
});

test('the event of somebody else under that id is not the end', async () => {
  const { sessionId } = await begin();
  await say(sessionId, 'one');
  const { endSession, accepts, until } = ending({
    eventId: 'e',
    userId: 'u',
    turns: [{ text: 'other', timestamp: '' }],
  });
  const ended = endSession.end(sessionId, end);
  await until(1);
  accepts[0]?.('refused');
  await expect(ended).rejects.toThrow('the id is taken');
  expect(await stored.find(sessionId)).toMatchObject({ state: 'open' });
  expect((await live.view(sessionId))?.state).toBe('open');
});

test.each([
  ['ahead', 3],
  ['behind', -3],
])('a session that a process with its clock %s began is as active as any other, and can be ended', async (_, hours) => {
  const hourMs = 3_600_000;
  const { sessionId } = await begin(new Date(Date.now() + hours * hourMs));
  const [inDatabase, inRedis] = [await stored.find(sessionId), await live.view(sessionId)];
  for (const seen of [inDatabase, inRedis])
    expect(Math.abs((seen?.activeAt.getTime() ?? 0) - Date.now())).toBeLessThan(hourMs);
  expect(await stored.idleFor(hourMs, 1_000)).not.toContain(sessionId);
  expect(await live.close(sessionId, end, hourMs)).toBe('active');
  expect(await live.close(sessionId, end, 0)).toEqual(end);
});

test('a session from a database whose clock is ahead can be ended', async () => {
  const { sessionId } = await begin();
  const session = await stored.find(sessionId);
  if (session === null) throw new Error('the session is gone');
  await live.forget(sessionId, []);
  await live.load({ ...session, activeAt: new Date(Date.now() + 3_600_000) }, []);
  expect(await live.close(sessionId, end, 0)).toEqual(end);
});
