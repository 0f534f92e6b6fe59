import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config.ts';
import { longestWaitMs, maxConcurrent } from '../../../src/start/limits.ts';

const config = loadConfig({
  DATABASE_URL: 'mysql://u:p@db/afterword',
  RABBITMQ_URL: 'amqp://mq',
  MESSAGE_CONCURRENCY_PER_WORKER: '10',
  SCORING_THREADS: '2',
  SCORING_TIMEOUT_MS: '1000',
});

// CPU-bound: one deadline for each scoring in a thread's queue, one more if the thread dies and the others start over,
// and a fifth of a deadline to notice each. Waiting: twice the deadline on the clock, and again in each round of the
// search for the scoring that killed a thread.
test.each([
  [null, 7_200, 10],
  [false, 7_200, 2],
  [true, 6_000, 10],
])('waits: %j: a delivery waits at most %i ms, %i are scored at a time', (waits, wait, concurrent) => {
  expect(longestWaitMs(config, waits)).toBe(wait);
  expect(maxConcurrent(config, waits)).toBe(concurrent);
});
