import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import type { ExtendDue, Moved, Publication, ToPublish } from '../../../src/outbox/ports.ts';
import { createPublications } from '../../../src/outbox/publications.ts';

const graceMs = 5_000;
const event: ToPublish = {
  eventId: 'e1' as EventId,
  lane: 'normal',
  conversationId: 'c1',
  userId: 'u1',
  botId: 'b1',
  traceparent: null,
};

/** Extended until `time`, but for those whose rows are held. */
const until = (time: number, ...held: string[]): Moved => ({
  dueAt: new Date(time),
  moved: new Set(['e1' as EventId].filter((id) => !held.includes(id))),
  held: new Set(held as EventId[]),
});

function setUp(extendDue: ExtendDue) {
  const marked: Publication[] = [];
  const unconfirmed: { confirm: () => void; fail: (error: Error) => void }[] = [];
  const publications = createPublications({
    publish: () => new Promise((confirm, fail) => unconfirmed.push({ confirm, fail })),
    extendDue,
    marks: {
      add: (mark) => void marked.push(mark),
      flush: async () => {},
      gauge: { name: '', bound: 1, held: () => 0 },
    },
    graceMs,
    log: pino({ level: 'silent' }),
  });
  return { publications, marked, unconfirmed };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a confirm in time: the due time is not extended, and the mark matches the insert', async () => {
  const extendDue = vi.fn<ExtendDue>();
  const { publications, marked, unconfirmed } = setUp(extendDue);
  const published = publications.publish(event, { dueAt: null, attemptCount: 0 });
  await vi.advanceTimersByTimeAsync(2_000);
  unconfirmed[0]?.confirm();
  await published;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extendDue).not.toHaveBeenCalled();
  expect(marked).toEqual([{ eventId: 'e1', dueAt: null, attemptCount: 0 }]);
});

test('a confirm after three times the grace: relays are kept off, the mark matches the last due time', async () => {
  let relaysComeAt = performance.now() + graceMs;
  const extendDue: ExtendDue = async () => {
    expect(performance.now(), 'extended in time').toBeLessThan(relaysComeAt);
    relaysComeAt = performance.now() + graceMs;
    return until(relaysComeAt);
  };
  const { publications, marked, unconfirmed } = setUp(extendDue);
  const published = publications.publish(event, { dueAt: null, attemptCount: 0 });
  await vi.advanceTimersByTimeAsync(3 * graceMs);
  expect(relaysComeAt).toBeGreaterThan(performance.now());
  unconfirmed[0]?.confirm();
  await published;
  expect(marked).toEqual([{ eventId: 'e1', dueAt: new Date(relaysComeAt), attemptCount: 0 }]);
});

test('a confirm that comes while the due time is being extended waits for the new one', async () => {
  const extending = Promise.withResolvers<Moved>();
  const { publications, marked, unconfirmed } = setUp(() => extending.promise);
  const published = publications.publish(event, { dueAt: null, attemptCount: 0 });
  await vi.advanceTimersByTimeAsync(3_800);
  unconfirmed[0]?.confirm();
  await vi.advanceTimersByTimeAsync(1);
  expect(marked).toEqual([]);
  extending.resolve(until(77));
  await published;
  expect(marked).toEqual([{ eventId: 'e1', dueAt: new Date(77), attemptCount: 0 }]);
});

test('relays are kept off for a minute; the copy they publish after that is a publication of its own', async () => {
  let lastExtension = 0;
  const extendDue = vi.fn<ExtendDue>(async () => {
    lastExtension = performance.now();
    return until(lastExtension);
  });
  const started = performance.now();
  const { publications, marked, unconfirmed } = setUp(extendDue);
  const first = publications.publish(event, { dueAt: null, attemptCount: 0 });
  await vi.advanceTimersByTimeAsync(600_000);
  expect(lastExtension - started).toBeGreaterThan(11 * graceMs);
  expect(lastExtension - started).toBeLessThanOrEqual(12 * graceMs);
  const second = publications.publish(event, { dueAt: new Date(2), attemptCount: 1 });
  expect(unconfirmed).toHaveLength(2);
  for (const { confirm } of unconfirmed) confirm();
  await Promise.all([first, second]);
  expect(marked).toEqual([
    { eventId: 'e1', dueAt: new Date(lastExtension), attemptCount: 0 },
    { eventId: 'e1', dueAt: new Date(2), attemptCount: 1 },
  ]);
});

test('a retry published while the first confirm is pending is marked only by its own confirm', async () => {
  const { publications, marked, unconfirmed } = setUp(vi.fn<ExtendDue>());
  const first = publications.publish(event, { dueAt: null, attemptCount: 0 });
  const retry = publications.publish(event, { dueAt: new Date(2), attemptCount: 1 });
  unconfirmed[0]?.confirm();
  await first;
  expect(marked).toEqual([{ eventId: 'e1', dueAt: null, attemptCount: 0 }]);
  unconfirmed[1]?.fail(new Error('channel lost'));
  await expect(retry).rejects.toThrow('channel lost');
  expect(marked).toHaveLength(1);
});

test('a failed extension is retried with the due time last known', async () => {
  const extendDue = vi.fn<ExtendDue>().mockRejectedValueOnce(new Error('away')).mockResolvedValue(until(5));
  const { publications, marked, unconfirmed } = setUp(extendDue);
  const published = publications.publish(event, { dueAt: null, attemptCount: 0 });
  await vi.advanceTimersByTimeAsync(graceMs);
  expect(extendDue.mock.calls.map(([[publication]]) => publication?.dueAt)).toEqual([null, null]);
  unconfirmed[0]?.confirm();
  await published;
  expect(marked).toEqual([{ eventId: 'e1', dueAt: new Date(5), attemptCount: 0 }]);
});

test('a publication that fails is forgotten: nothing is extended or marked', async () => {
  const extendDue = vi.fn<ExtendDue>();
  const { publications, marked, unconfirmed } = setUp(extendDue);
  const published = publications.publish(event, { dueAt: null, attemptCount: 0 });
  unconfirmed[0]?.fail(new Error('channel lost'));
  await expect(published).rejects.toThrow('channel lost');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extendDue).not.toHaveBeenCalled();
  expect(marked).toEqual([]);
});
