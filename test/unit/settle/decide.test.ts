import { expect, test } from 'vitest';
import type { EventStatus } from '../../../src/event/event.ts';
import { decide } from '../../../src/settle/decide.ts';

const policy = { maxAttempts: 3, delayMs: (attempt: number) => attempt * 10 };
const scored = { kind: 'scored', change: 1, totalTurns: 1, detailsJson: '{}' } as const;
const failed = (permanent: boolean) => ({ kind: 'failed', permanent, code: 'C', details: 'd' }) as const;
const settle = (
  status: EventStatus,
  attemptCount: number,
  outcome: typeof scored | ReturnType<typeof failed>,
  redelivered = false,
) => decide({ status, attemptCount }, { outcome, attemptCount, redelivered }, policy);

test.each(['PENDING', 'PROCESSING'] as const)('%s and scored is processed', (status) => {
  expect(settle(status, 0, scored)).toEqual({ kind: 'process', outcome: scored });
});

test('a transient failure is scheduled for a retry until the attempts are used up', () => {
  expect(settle('PENDING', 0, failed(false))).toEqual({
    kind: 'retry',
    attemptCount: 1,
    delayMs: 10,
    code: 'C',
    details: 'd',
  });
  expect(settle('PENDING', 1, failed(false))).toMatchObject({ kind: 'retry', attemptCount: 2, delayMs: 20 });
  expect(settle('PENDING', 2, failed(false))).toMatchObject({ kind: 'failed', attemptCount: 3 });
});

test('a failure that began before another one was counted is not counted again; a score always counts', () => {
  const row = { status: 'PENDING', attemptCount: 1 } as const;
  const began = { attemptCount: 0, redelivered: true };
  expect(decide(row, { ...began, outcome: failed(false) }, policy)).toEqual({ kind: 'duplicate' });
  expect(decide(row, { ...began, outcome: scored }, policy)).toMatchObject({ kind: 'process' });
});

test('a permanent failure fails at once', () => {
  expect(settle('PROCESSING', 0, failed(true))).toMatchObject({ kind: 'failed', attemptCount: 1 });
});

test.each(['PROCESSED', 'SKIPPED', 'FAILED'] as const)('%s is closed: any further outcome is a duplicate', (status) => {
  for (const outcome of [scored, failed(false), failed(true)])
    expect(settle(status, 1, outcome)).toEqual({ kind: 'duplicate' });
});

test('a FAILED event that is redelivered is dead-lettered again: the first time may have been interrupted', () => {
  expect(settle('FAILED', 3, scored, true)).toEqual({ kind: 'dead-letter-again' });
  expect(settle('PROCESSED', 3, scored, true)).toEqual({ kind: 'duplicate' });
});
