import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import { type ConfirmMark, createConfirmMarks } from '../../../src/outbox/confirm-marks.ts';

const mark = (n: number): ConfirmMark => ({ eventId: `e${n}` as EventId, dueAt: null });

test('marks are written in batches, one writer at a time, and what comes meanwhile is bounded', async () => {
  const sizes: number[] = [];
  const writing: (() => void)[] = [];
  const marks = createConfirmMarks({
    storeMarks: (batch) => {
      sizes.push(batch.length);
      return new Promise((resolve) => writing.push(resolve));
    },
    graceMs: 1_000_000,
    log: pino({ level: 'silent' }),
  });
  for (let i = 0; i < 150_000; i++) marks.add(mark(i));
  const done = marks.flush();
  void marks.flush();
  expect(sizes).toEqual([500]);
  for (let i = 0; i < 150_000; i++) marks.add(mark(i));
  while (writing.length > 0) {
    writing.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  // 100,000 held, 500 under way when as many more came.
  expect(sizes.reduce((sum, n) => sum + n, 0)).toBe(100_500);
});

test('a batch that cannot be written is dropped, and the next marks are written', async () => {
  let fails = true;
  const written: ConfirmMark[] = [];
  const marks = createConfirmMarks({
    storeMarks: async (batch) => {
      if (fails) throw new Error('away');
      written.push(...batch);
    },
    graceMs: 1_000_000,
    log: pino({ level: 'silent' }),
  });
  marks.add(mark(1));
  await marks.flush();
  fails = false;
  marks.add(mark(2));
  await marks.flush();
  expect(written).toEqual([mark(2)]);
});
