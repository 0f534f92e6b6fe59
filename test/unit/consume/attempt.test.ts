import { pino } from 'pino';
import { expect, test } from 'vitest';
import { type AttemptSteps, createAttempt } from '../../../src/consume/attempt.ts';
import type { Running } from '../../../src/consume/in-flight.ts';
import type { EventId, EventStatus } from '../../../src/event/event.ts';

const id = (n: number) => `019a0000-0000-7000-8000-00000000000${n}` as EventId;
const running = (eventId: EventId): Running => ({ eventId, startedAt: 0, markedAt: null, marking: null, settling: false, counted: false });
const delivery = { body: Buffer.from('{}'), messageId: undefined, redelivered: true };

/** Steps that say what they were asked; a scoring ends when the test says so. */
type Past = { status: EventStatus; unfinished: number } | null;

function createSteps(past: Past | (() => Past)) {
  const said: string[] = [];
  const scoring: (() => void)[] = [];
  const steps: AttemptSteps = {
    score: (body) =>
      new Promise((resolve) => {
        said.push('score');
        scoring.push(() =>
          resolve({ kind: 'lost', outcome: { kind: 'failed', permanent: false, code: 'C', details: String(body.length) } }),
        );
      }),
    loadMessage: async () => null,
    findStarts: async () => (typeof past === 'function' ? past() : past),
    countStart: async (eventId) => void said.push(`count ${eventId.at(-1)}`),
    settle: async ({ outcome }) => {
      said.push(`settle ${outcome.kind === 'failed' ? outcome.code : 'scored'}`);
      return { verb: 'ack', as: 'retry' };
    },
  };
  const giveUp = new AbortController();
  const attempt = createAttempt({
    steps,
    concurrency: 8,
    poisonStarts: 3,
    maxMessageBytes: 1_000,
    giveUp: giveUp.signal,
    now: () => 0,
    log: pino({ level: 'silent' }),
  });
  return { attempt, said, scoring, giveUp };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test.each([
  ['PROCESSED', { verb: 'ack', as: 'duplicate' }],
  ['SKIPPED', { verb: 'ack', as: 'duplicate' }],
  // Scoring it would run a poison again, whose start nobody counts.
  ['FAILED', { verb: 'dead-letter', as: 'failed' }],
] as const)('a redelivered event that is %s is answered without being scored', async (status, answer) => {
  const { attempt, said } = createSteps({ status, unfinished: 0 });
  expect(await attempt(delivery, running(id(1)))).toEqual(answer);
  expect(said).toEqual([]);
});

test('a first redelivery is counted and runs beside others', async () => {
  const { attempt, said, scoring } = createSteps({ status: 'PENDING', unfinished: 0 });
  const both = [attempt(delivery, running(id(1))), attempt(delivery, running(id(2)))];
  await turn();
  expect(said).toEqual(['count 1', 'count 2', 'score', 'score']);
  for (const end of scoring) end();
  await Promise.all(both);
});

test('suspects run a quarter of the deliveries at a time, and each is counted only when it starts', async () => {
  const { attempt, said, scoring } = createSteps({ status: 'PENDING', unfinished: 1 });
  const all = [1, 2, 3].map((n) => attempt(delivery, running(id(n))));
  await turn();
  expect(said).toEqual(['count 1', 'count 2', 'score', 'score']);
  scoring[0]?.();
  await all[0];
  await turn();
  expect(said.slice(4)).toEqual(['settle C', 'count 3', 'score']);
  for (const end of scoring) end();
  await Promise.all(all);
});

test('one whose starts have ended with the process twice runs without other suspects, before and after them in turn', async () => {
  const past = [1, 2, 1, 1].map((unfinished) => ({ status: 'PENDING' as const, unfinished }));
  const { attempt, said, scoring } = createSteps(() => past.shift() ?? null);
  const all = [1, 2, 3, 4].map((n) => attempt(delivery, running(id(n))));
  await turn();
  expect(said).toEqual(['count 1', 'score']);
  scoring[0]?.();
  await all[0];
  await turn();
  expect(said.slice(2)).toEqual(['settle C', 'count 2', 'score']);
  scoring[1]?.();
  await all[1];
  await turn();
  expect(said.slice(5)).toEqual(['settle C', 'count 3', 'count 4', 'score', 'score']);
  for (const end of scoring) end();
  await Promise.all(all);
});

test('a suspect that still waits when the drain ends is neither counted nor scored', async () => {
  const { attempt, said, scoring, giveUp } = createSteps({ status: 'PENDING', unfinished: 2 });
  const waiting = running(id(2));
  const both = [attempt(delivery, running(id(1))), attempt(delivery, waiting)];
  await turn();
  giveUp.abort();
  scoring[0]?.();
  await expect(both[1]).rejects.toMatchObject({ kind: 'transient' });
  expect(waiting.counted).toBe(false);
  expect(said.filter((s) => s.startsWith('count'))).toEqual(['count 1']);
  await both[0];
});

test('at the limit it fails as POISON without running', async () => {
  const { attempt, said } = createSteps({ status: 'PENDING', unfinished: 3 });
  await attempt(delivery, running(id(1)));
  expect(said).toEqual(['settle POISON']);
});
