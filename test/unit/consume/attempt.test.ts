import { pino } from 'pino';
import { expect, test } from 'vitest';
import { type AttemptSteps, createAttempt } from '../../../src/consume/attempt.ts';
import type { Running } from '../../../src/consume/in-flight.ts';
import type { EventId, EventStatus } from '../../../src/event/event.ts';

const id = (n: number) => `019a0000-0000-7000-8000-00000000000${n}` as EventId;
const running = (eventId: EventId): Running => ({ eventId, startedAt: 0, markedAt: null, marking: null, settling: false, counted: false });
const delivery = { body: Buffer.from('{}'), messageId: undefined, redelivered: true };

/** Steps that say what they were asked; a scoring ends when the test says so. */
function createSteps(past: { status: EventStatus; unfinished: number } | null) {
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
    findStarts: async () => past,
    countStart: async (eventId) => void said.push(`count ${eventId.at(-1)}`),
    settle: async ({ outcome }) => {
      said.push(`settle ${outcome.kind === 'failed' ? outcome.code : 'scored'}`);
      return { verb: 'ack', as: 'retry' };
    },
  };
  const giveUp = new AbortController();
  const attempt = createAttempt({
    steps,
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

test('suspects run one at a time, and each is counted only when it starts', async () => {
  const { attempt, said, scoring } = createSteps({ status: 'PENDING', unfinished: 1 });
  const both = [attempt(delivery, running(id(1))), attempt(delivery, running(id(2)))];
  await turn();
  expect(said).toEqual(['count 1', 'score']);
  scoring[0]?.();
  await both[0];
  await turn();
  expect(said).toEqual(['count 1', 'score', 'settle C', 'count 2', 'score']);
  scoring[1]?.();
  await both[1];
});

test('a suspect that still waits when the drain ends is neither counted nor scored', async () => {
  const { attempt, said, scoring, giveUp } = createSteps({ status: 'PENDING', unfinished: 1 });
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
