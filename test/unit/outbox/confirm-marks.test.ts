import { pino } from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import { PipelineError } from '../../../src/event/fault.ts';
import { createConfirmMarks } from '../../../src/outbox/confirm-marks.ts';
import type { Moved, Publication } from '../../../src/outbox/ports.ts';

const mark = (n: number): Publication => ({ eventId: `e${n}` as EventId, dueAt: null, attemptCount: 0 });
const plain = (marks: readonly Publication[]): Publication[] =>
  marks.map(({ eventId, dueAt, attemptCount }) => ({ eventId, dueAt, attemptCount }));
/** What storing answers: all marked, but these. */
const stored = (...held: number[]): Moved => ({
  dueAt: new Date(0),
  moved: new Set(),
  held: new Set(held.map((n) => mark(n).eventId)),
});
const log = pino({ level: 'silent' });
const graceMs = 1_000_000;
const conflict = () => new PipelineError('transient', 'DATABASE_DEADLOCK', 'somebody else won');

afterEach(() => vi.useRealTimers());

test('marks are written in batches, one writer at a time, and only a bounded number are held meanwhile', async () => {
  const sizes: number[] = [];
  const writing: (() => void)[] = [];
  const marks = createConfirmMarks({
    storeMarks: (batch) => {
      sizes.push(batch.length);
      return new Promise((resolve) => writing.push(() => resolve(stored())));
    },
    graceMs,
    log,
  });
  for (let i = 0; i < 150_000; i++) marks.add(mark(i), graceMs);
  const done = marks.flush();
  void marks.flush();
  expect(sizes).toEqual([500]);
  for (let i = 0; i < 150_000; i++) marks.add(mark(i), graceMs);
  while (writing.length > 0) {
    writing.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  // 100,000 were held; with 500 of them in flight, 500 of the next 150,000 fitted in.
  expect(sizes.reduce((sum, n) => sum + n, 0)).toBe(100_500);
});

test('while the database is down marks are dropped, and later ones are written', async () => {
  let fails = true;
  const written: Publication[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      if (fails) throw new Error('away');
      written.push(...plain(batch));
      return stored();
    },
    graceMs,
    log,
  });
  marks.add(mark(1), graceMs);
  await marks.flush();
  fails = false;
  marks.add(mark(2), graceMs);
  await marks.flush();
  expect(written).toEqual([mark(2)]);
});

test('a broken connection costs no mark', async () => {
  let breaks = 1;
  const written: Publication[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      if (breaks-- > 0) throw new PipelineError('transient', 'DATABASE_UNAVAILABLE', 'ECONNRESET');
      written.push(...plain(batch));
      return stored();
    },
    graceMs,
    log,
  });
  for (let i = 0; i < 700; i++) marks.add(mark(i), graceMs);
  await marks.flush();
  expect(written).toHaveLength(700);
});

test('a batch that loses a deadlock is retried, and one that loses every time does not drop any other', async () => {
  const unlucky = 700;
  let conflicts = 0;
  const written: Publication[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      const isUnlucky = batch.some(({ eventId }) => eventId === `e${unlucky}`);
      if (isUnlucky || conflicts++ === 0) throw conflict();
      written.push(...plain(batch));
      return stored();
    },
    graceMs,
    log,
  });
  for (let i = 0; i < 1_500; i++) marks.add(mark(i), graceMs);
  await marks.flush();
  expect(written).toHaveLength(1_000);
  expect(written).toContainEqual(mark(0));
  expect(written).toContainEqual(mark(1_499));
});

test('a confirm late in the grace period is marked before the relays claim the event', async () => {
  vi.useFakeTimers();
  const written: Publication[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      written.push(...plain(batch));
      return stored();
    },
    graceMs: 5_000,
    log,
  });
  marks.add(mark(1), 5_000);
  await vi.advanceTimersByTimeAsync(2_400);
  expect(written).toEqual([]);
  marks.add(mark(2), 100);
  await vi.advanceTimersByTimeAsync(99);
  expect(new Set(written)).toEqual(new Set([mark(1), mark(2)]));
});

test('marks are written when they are due, not before', async () => {
  vi.useFakeTimers();
  const written: Publication[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      written.push(...plain(batch));
      return stored();
    },
    graceMs: 5_000,
    log,
  });
  for (let i = 0; i < 30; i++) {
    marks.add(mark(i), 5_000);
    await vi.advanceTimersByTimeAsync(100);
  }
  // After three seconds: those of the first half second, and any gathered along with the last of them.
  expect(written.length).toBeGreaterThanOrEqual(5);
  expect(written.length).toBeLessThanOrEqual(7);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(written).toEqual(Array.from({ length: 30 }, (_, i) => mark(i)));
});

test('a mark whose row another transaction holds is written again soon, a few times', async () => {
  vi.useFakeTimers();
  const written: number[][] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      written.push(batch.map(({ eventId }) => Number(eventId.slice(1))));
      return stored(1, ...(written.length === 1 ? [2] : []));
    },
    graceMs: 5_000,
    log,
  });
  for (const n of [1, 2, 3]) marks.add(mark(n), 100);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(written).toEqual([[1, 2, 3], [1, 2], [1]]);
  expect(marks.gauge.held()).toBe(0);
});
