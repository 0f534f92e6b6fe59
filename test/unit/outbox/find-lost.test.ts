import { expect, test } from 'vitest';
import { createEmptinessJudge } from '../../../src/outbox/find-lost.ts';
import type { QueueCounts } from '../../../src/outbox/ports.ts';

const lostAfterMs = 60_000;
const lookMs = 15_000;

/** @returns the looks at which the queue is believed to be empty. */
function believed(looks: readonly (QueueCounts | null)[]): number[] {
  const judge = createEmptinessJudge(lostAfterMs);
  return looks.flatMap((counts, i) => (judge(counts, i * lookMs) ? [i] : []));
}

const empty = { messages: 0, consumers: 2 };
const backlog = { messages: 70_000, consumers: 4 };
/** What RabbitMQ 3.10 reports for a queue whose leader does not answer in time. */
const noAnswer = { messages: 0, consumers: 0 };

test('an empty queue with consumers is believed at the second look', () => {
  expect(believed([backlog, empty, empty, empty])).toEqual([2, 3]);
});

test('a leader that sometimes does not answer is not believed', () => {
  expect(believed([noAnswer, noAnswer, backlog, noAnswer, noAnswer, noAnswer, noAnswer, backlog])).toEqual([]);
});

test('a queue without consumers is believed when every look in the period has found it empty', () => {
  expect(believed([backlog, noAnswer, noAnswer, noAnswer, noAnswer, noAnswer])).toEqual([5]);
});

test('looks from before the broker became unreachable do not count', () => {
  expect(believed([empty, null, empty, null, empty, backlog, empty])).toEqual([]);
});
