import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { EventId, EventStatus } from '../../../src/event/event.ts';
import { PipelineError } from '../../../src/event/fault.ts';
import type { AttemptResult } from '../../../src/event/outcome.ts';
import type { EventWrite, SettleTransaction } from '../../../src/settle/ports.ts';
import { createSettler } from '../../../src/settle/settler.ts';

/** Commit faults that no server produces on demand; everything else about settling is tested on real servers. */
function createStage(
  after: (writes: readonly EventWrite[], pass: number) => void,
  { running = 0, unscored = 0 }: { running?: number; unscored?: number } = {},
) {
  const rows = new Map<EventId, { status: EventStatus; attemptCount: number }>();
  let passes = 0;
  const settler = createSettler({
    inTransaction: async (work) => {
      const written: EventWrite[] = [];
      const tx: SettleTransaction = {
        lock: async (ids) => ({
          events: ids.map((eventId) => ({
            eventId,
            status: rows.get(eventId)?.status ?? 'PENDING',
            attemptCount: rows.get(eventId)?.attemptCount ?? 0,
          })),
          friendships: [],
          topics: [],
        }),
        lockUsers: async () => ({ friendships: [], topics: [] }),
        write: ({ events }) => void written.push(...events),
      };
      const result = await work(tx);
      const commit = () => {
        for (const w of written) {
          const attemptCount = 'attemptCount' in w ? w.attemptCount : 0;
          rows.set(w.eventId, {
            status: w.kind === 'failed' ? 'FAILED' : w.kind === 'retry' ? 'PENDING' : 'PROCESSED',
            attemptCount,
          });
        }
      };
      try {
        after(written, ++passes);
      } catch (error) {
        if (error instanceof PipelineError && error.code === 'ANSWER_LOST') commit();
        throw error;
      }
      commit();
      return result;
    },
    policy: { maxAttempts: 2, delayMs: () => 1, calendarDay: () => 1 },
    maxQueued: 100,
    running: () => running,
    unscored: () => unscored,
    giveUp: new AbortController().signal,
    log: pino({ level: 'silent' }),
  });
  return { settler, rows };
}

const id = (n: number) => `019a0000-0000-7000-8000-00000000000${n}` as EventId;
const scored = (n: number, detailsJson = '{}', runningMs = 1): AttemptResult => ({
  eventId: id(n),
  owner: { userId: 'u', topicId: null, endTime: new Date(0) },
  attemptCount: 0,
  redelivered: false,
  runningMs,
  outcome: { kind: 'scored', change: 1, totalTurns: 1, detailsJson },
});
const failed = (n: number, permanent = true): AttemptResult => ({
  eventId: id(n),
  owner: { userId: 'u', topicId: null, endTime: new Date(0) },
  attemptCount: 0,
  redelivered: false,
  runningMs: 1,
  outcome: { kind: 'failed', permanent, code: 'C', details: 'd' },
});

test('a lost answer to a COMMIT: a FAILED event is still dead-lettered, a scored one not counted twice', async () => {
  const { settler } = createStage((_writes, pass) => {
    if (pass === 1) throw new PipelineError('transient', 'ANSWER_LOST', 'connection lost in COMMIT');
  });
  const answers = await Promise.all([settler.settle(failed(1)), settler.settle(scored(2))]);
  expect(answers).toEqual([
    { verb: 'dead-letter', as: 'failed', code: 'C' },
    { verb: 'ack', as: 'duplicate' },
  ]);
});

test('a lost answer to a COMMIT: a failure is counted once', async () => {
  const { settler, rows } = createStage((_writes, pass) => {
    if (pass === 1) throw new PipelineError('transient', 'ANSWER_LOST', 'connection lost in COMMIT');
  });
  expect(await settler.settle(failed(1, false))).toEqual({ verb: 'ack', as: 'duplicate' });
  expect(rows.get(id(1))).toEqual({ status: 'PENDING', attemptCount: 1 });
});

test('a row locked by another transaction does not keep other events from being settled', async () => {
  let isHeld = true;
  const { settler } = createStage((writes) => {
    if (isHeld && writes.some((w) => w.eventId === id(2)))
      throw new PipelineError('transient', 'DATABASE_LOCKED', 'held');
  });
  const stuck = settler.settle(scored(2));
  const others = [1, 3, 4].map((n) => settler.settle(scored(n)));
  expect((await Promise.all(others)).map((a) => a.as)).toEqual(['processed', 'processed', 'processed']);
  expect((await settler.settle(scored(5))).as).toBe('processed');
  isHeld = false;
  expect((await stuck).as).toBe('processed');
});

test('a result that the database refuses fails its event alone', async () => {
  const { settler, rows } = createStage((writes) => {
    const refused = writes.some((w) => w.kind === 'processed' && w.detailsJson === 'bad');
    if (refused) throw new PipelineError('permanent', 'ROW_REFUSED', 'refused');
  });
  const answers = await Promise.all([
    settler.settle(scored(1)),
    settler.settle(scored(2, 'bad')),
    settler.settle(scored(3)),
  ]);
  expect(answers.map((a) => a.as)).toEqual(['processed', 'failed', 'processed']);
  expect(rows.get(id(2))?.status).toBe('FAILED');
});

test('an unknown error is treated like an outage: a good result does not become a failure', async () => {
  const { settler } = createStage((_writes, pass) => {
    if (pass <= 2) throw new PipelineError('bug', 'DATABASE_ERROR', 'unheard of');
  });
  expect(await settler.settle(scored(1))).toEqual({ verb: 'ack', as: 'processed' });
});

test('a result waits for the others only while deliveries wait for a thread', async () => {
  const batches = async (unscored: number) => {
    const sizes: number[] = [];
    const { settler } = createStage((writes) => void sizes.push(writes.length), { running: 3, unscored });
    const first = settler.settle(scored(1, '{}', 400));
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([first, settler.settle(scored(2))]);
    return sizes;
  };
  expect(await batches(1)).toEqual([2]);
  expect(await batches(0)).toEqual([1, 1]);
});
