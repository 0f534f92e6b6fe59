import { pino } from 'pino';
import { describe, expect, test, vi } from 'vitest';
import { type AttemptSteps, createAttempt } from '../../../src/consume/attempt.ts';
import type { Running } from '../../../src/consume/in-flight.ts';
import type { Received, StartSteps } from '../../../src/consume/ports.ts';
import { createStarts } from '../../../src/consume/starts.ts';
import type { EventId, EventStatus } from '../../../src/event/event.ts';

const id = (n: number) => `019a0000-0000-7000-8000-00000000000${n}` as EventId;
const running = (): Running => ({
  eventId: null,
  startedAt: 0,
  markedAt: null,
  marking: null,
  settling: false,
  counting: null,
  isRetry: false,
});
const delivery = (n: number, more: Partial<Received> = {}): Received => ({
  body: Buffer.from('{}'),
  messageId: id(n),
  redelivered: true,
  live: true,
  ...more,
});

type Past = { readonly status: EventStatus; readonly unfinished: number };
const open: Past = { status: 'PENDING', unfinished: 0 };

/** Steps that record what they were asked to do; a scoring ends when the test says so. */
function createSteps(pasts: Readonly<Record<string, Past>>) {
  const said: string[] = [];
  const scoring: (() => void)[] = [];
  const steps: AttemptSteps & StartSteps = {
    wasErased: async () => false,
    load: async (ref) => {
      const key = 'eventId' in ref ? ref.eventId : ref.conversationId;
      said.push(`load ${key.at(-1)}`);
      const past = pasts[key];
      const eventId = 'eventId' in ref ? ref.eventId : id(9);
      const owner = { userId: 'u', topicId: null, endTime: new Date(0) };
      return past === undefined
        ? null
        : {
            eventId,
            status: past.status,
            attemptCount: 0,
            unfinishedStarts: past.unfinished,
            owner,
            text: past.status === 'PENDING' ? [Buffer.from('{}')] : null,
          };
    },
    score: () =>
      new Promise((resolve) => {
        said.push('score');
        scoring.push(() => resolve({ kind: 'failed', permanent: false, code: 'C', details: '' }));
      }),
    countStart: async (eventId) => void said.push(`count ${eventId.at(-1)}`),
    uncountStart: async (eventId) => void said.push(`uncount ${eventId.at(-1)}`),
    settle: async ({ eventId, outcome }) => {
      said.push(`settle ${eventId.at(-1)} ${outcome.kind === 'failed' ? outcome.code : 'scored'}`);
      return { verb: 'ack', as: 'retry', code: 'C' };
    },
  };
  const giveUp = new AbortController();
  const starts = createStarts({ steps, giveUp: giveUp.signal, log: pino({ level: 'silent' }) });
  const attempt = createAttempt({
    steps,
    starts,
    concurrency: 8,
    poisonStarts: 3,
    maxMessageBytes: 1_000,
    giveUp: giveUp.signal,
    now: () => 0,
  });
  return { attempt, said, scoring, giveUp, acted: () => said.filter((word) => !word.startsWith('load')) };
}
const all = (...unfinished: readonly number[]) =>
  Object.fromEntries(unfinished.map((n, i) => [id(i + 1), { status: 'PENDING', unfinished: n } as const]));
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('which event it is', () => {
  test('the message id says it, and the body is not read', async () => {
    const { attempt, said, scoring } = createSteps({ [id(1)]: open });
    const answer = attempt(delivery(1, { body: Buffer.from('{"event_id"'), redelivered: false }), running());
    await turn();
    scoring[0]?.();
    await answer;
    expect(said).toEqual(['load 1', 'score', 'settle 1 C']);
  });

  test.each([
    ['a publisher that knows only the conversation', undefined, { conversation_id: 'c7' }],
    ['one whose message ids are its own', id(5), { conversation_id: 'c7' }],
    [
      'a whole log, which is ignored',
      undefined,
      { conversation_id: 'c7', conversation_log: [{ speaker: 'user', text: 'hello' }] },
    ],
  ])('%s: the body says it', async (_name, messageId, body) => {
    const { attempt, scoring, acted } = createSteps({ c7: open });
    const run = running();
    const answer = attempt({ messageId, body: Buffer.from(JSON.stringify(body)), redelivered: false, live: true }, run);
    await turn();
    scoring[0]?.();
    await answer;
    expect(acted()).toEqual(['score', 'settle 9 C']);
    expect(run.eventId).toBe(id(9));
  });

  test.each([
    ['a body that names nothing', undefined, '{}', { as: 'not-ours', code: 'NAMES_NO_EVENT' }],
    ['a body that is not JSON', undefined, 'hello', { as: 'not-ours', code: 'NAMES_NO_EVENT' }],
    ['a body that is too large', undefined, 'x'.repeat(1_001), { as: 'not-ours', code: 'TOO_LARGE' }],
    [
      'a conversation id that no row could have',
      undefined,
      JSON.stringify({ conversation_id: 'x'.repeat(511) }),
      { as: 'not-ours', code: 'NAMES_NO_EVENT' },
    ],
    ['an unknown id', id(4), '', { as: 'unknown-event' }],
    ['an unknown conversation', undefined, '{"conversation_id":"nobody"}', { as: 'unknown-event' }],
  ])('%s is dead-lettered', async (_name, messageId, body, answer) => {
    const { attempt, acted } = createSteps({});
    expect(
      await attempt({ messageId, body: Buffer.from(body), redelivered: false, live: true }, running()),
    ).toMatchObject({
      verb: 'dead-letter',
      ...answer,
    });
    expect(acted()).toEqual([]);
  });
});

test.each([
  ['PROCESSED', true, { verb: 'ack', as: 'duplicate' }],
  ['SKIPPED', true, { verb: 'ack', as: 'duplicate' }],
  ['PROCESSED', false, { verb: 'ack', as: 'duplicate' }],
  ['FAILED', false, { verb: 'ack', as: 'duplicate' }],
  // Its first dead-lettering may have been cut off.
  ['FAILED', true, { verb: 'dead-letter', as: 'failed', code: null }],
] as const)(
  'an event that is %s (redelivered: %s) is answered without being scored',
  async (status, redelivered, answer) => {
    const { attempt, acted } = createSteps({ [id(1)]: { status, unfinished: 0 } });
    expect(await attempt(delivery(1, { redelivered }), running())).toEqual(answer);
    expect(acted()).toEqual([]);
  },
);

test('a first redelivery is counted and runs alongside others', async () => {
  const { attempt, acted, scoring } = createSteps(all(0, 0));
  const both = [attempt(delivery(1), running()), attempt(delivery(2), running())];
  await turn();
  expect(acted()).toEqual(['count 1', 'count 2', 'score', 'score']);
  for (const end of scoring) end();
  await Promise.all(both);
});

test('suspects take at most a quarter of the slots at a time, and each is counted only when it starts', async () => {
  const { attempt, acted, scoring } = createSteps(all(1, 1, 1));
  const three = [1, 2, 3].map((n) => attempt(delivery(n), running()));
  await turn();
  expect(acted()).toEqual(['count 1', 'count 2', 'score', 'score']);
  scoring[0]?.();
  await three[0];
  await turn();
  expect(acted().slice(4)).toEqual(['settle 1 C', 'count 3', 'score']);
  for (const end of scoring) end();
  await Promise.all(three);
});

test('a suspect whose process has died twice runs with no other suspect, and takes its turn among them', async () => {
  const { attempt, acted, scoring } = createSteps(all(1, 2, 1, 1));
  const four = [1, 2, 3, 4].map((n) => attempt(delivery(n), running()));
  await turn();
  expect(acted()).toEqual(['count 1', 'score']);
  scoring[0]?.();
  await four[0];
  await turn();
  expect(acted().slice(2)).toEqual(['settle 1 C', 'count 2', 'score']);
  scoring[1]?.();
  await four[1];
  await turn();
  expect(acted().slice(5)).toEqual(['settle 2 C', 'count 3', 'count 4', 'score', 'score']);
  for (const end of scoring) end();
  await Promise.all(four);
});

test('one whose channel is lost while it waits is neither counted nor scored: it will be redelivered', async () => {
  const { attempt, acted, scoring } = createSteps(all(2, 2));
  const gone = { live: true };
  const first = attempt(delivery(1), running());
  const second = attempt(
    {
      ...delivery(2),
      get live() {
        return gone.live;
      },
    },
    running(),
  );
  await turn();
  gone.live = false;
  scoring[0]?.();
  await first;
  await expect(second).rejects.toMatchObject({ kind: 'transient' });
  expect(acted()).toEqual(['count 1', 'score', 'settle 1 C']);
});

test('a start is taken back if its channel is lost while it is being counted', async () => {
  const { attempt, acted, scoring } = createSteps(all(0));
  const mine = running();
  const isLive = [true, false];
  const answer = attempt(
    {
      ...delivery(1),
      get live() {
        return isLive.shift() ?? false;
      },
    },
    mine,
  );
  await turn();
  expect(acted()).toEqual(['count 1', 'uncount 1', 'score']);
  expect(mine.counting).toBeNull();
  scoring[0]?.();
  await answer;
});

test('a suspect that is still waiting when the drain ends is neither counted nor scored', async () => {
  const { attempt, acted, scoring, giveUp } = createSteps(all(2, 2));
  const waiting = running();
  const both = [attempt(delivery(1), running()), attempt(delivery(2), waiting)];
  await turn();
  giveUp.abort();
  scoring[0]?.();
  await expect(both[1]).rejects.toMatchObject({ kind: 'transient' });
  expect(waiting.counting).toBeNull();
  expect(acted().filter((s) => s.startsWith('count'))).toEqual(['count 1']);
  await both[0];
});

test('at the limit it fails as POISON without running', async () => {
  const { attempt, acted } = createSteps(all(3));
  await attempt(delivery(1), running());
  expect(acted()).toEqual(['settle 1 POISON']);
});

test('a start that is being taken back does not make it POISON', async () => {
  const pasts = { [id(1)]: { status: 'PENDING' as const, unfinished: 3 } };
  const { attempt, said, acted, scoring } = createSteps(pasts);
  const answer = attempt(delivery(1), running());
  await vi.waitFor(() => expect(said).toEqual(['load 1']));
  pasts[id(1)] = { status: 'PENDING', unfinished: 2 };
  await vi.waitFor(() => expect(acted()).toEqual(['count 1', 'score']), 5_000);
  scoring[0]?.();
  await answer;
});

test('an open event whose log is gone fails permanently', async () => {
  const { attempt, acted } = createSteps({ [id(1)]: { status: 'PROCESSING', unfinished: 0 } });
  await attempt(delivery(1, { redelivered: false }), running());
  expect(acted()).toEqual(['settle 1 LOG_MISSING']);
});
