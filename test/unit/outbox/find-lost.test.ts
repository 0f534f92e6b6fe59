import { expect, test } from 'vitest';
import { createEmptinessJudge } from '../../../src/outbox/find-lost.ts';
import type { QueueCounts } from '../../../src/outbox/ports.ts';

const lostAfterMs = 60_000;
const lookMs = 15_000;

/** @returns at which looks the queue is believed to be empty. */
function believed(looks: readonly (QueueCounts | null)[]): number[] {
  const judge = createEmptinessJudge(lostAfterMs);
  return looks.flatMap((counts, i) => (judge(counts, i * lookMs) ? [i] : []));
}

const empty = { messages: 0, consumers: 2 };
const backlog = { messages: 70_000, consumers: 4 };
/** What RabbitMQ 3.10 says of a queue whose leader does not answer in time. */
const noAnswer = { messages: 0, consumers: 0 };

test('an empty queue that is consumed is believed at the second look', () => {
  expect(believed([backlog, empty, empty, empty])).toEqual([2, 3]);
});

test('a leader that does not answer now and then is not believed', () => {
  expect(believed([noAnswer, noAnswer, backlog, noAnswer, noAnswer, noAnswer, noAnswer, backlog])).toEqual([]);
});

test('a queue that nobody consumes is believed when every look in the term has seen it empty', () => {
  expect(believed([backlog, noAnswer, noAnswer, noAnswer, noAnswer, noAnswer])).toEqual([5]);
});

test('what was seen before the broker could not be asked does not count', () => {
  expect(believed([empty, null, empty, null, empty, backlog, empty])).toEqual([]);
});
