import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { createInFlight } from '../../../src/consume/in-flight.ts';
import { createIntake } from '../../../src/consume/intake.ts';
import type { MarkProcessing } from '../../../src/consume/ports.ts';
import type { EventId } from '../../../src/event/event.ts';

const eventId = '019a0000-0000-7000-8000-000000000001' as EventId;

type IntakeOptions = Parameters<typeof createIntake>[0];

/** An intake with its running attempts, as a worker wires them. */
function start(
  options: Omit<IntakeOptions, 'inFlight' | 'steps'> & {
    readonly remarkMs: number;
    readonly steps: IntakeOptions['steps'] & { readonly markProcessing: MarkProcessing };
  },
) {
  const inFlight = createInFlight({ ...options, markProcessing: options.steps.markProcessing });
  return { inFlight, intake: createIntake({ ...options, inFlight }) };
}

test('a delivery whose load hangs is marked as PROCESSING, and a drain requeues it and reports its id', async () => {
  const marked: EventId[] = [];
  let now = 0;
  const { intake } = start({
    concurrency: 1,
    poisonStarts: 3,
    remarkMs: 10_000,
    maxMessageBytes: 1_000,
    giveUp: new AbortController(),
    log: pino({ level: 'silent' }),
    now: () => now,
    steps: {
      wasErased: async () => false,
      load: () => new Promise(() => {}),
      score: () => new Promise(() => {}),
      settle: () => new Promise(() => {}),
      countStart: async () => {},
      uncountStart: async () => {},
      markProcessing: async (attempts) => void marked.push(...attempts.map((a) => a.eventId)),
    },
  });
  const requeue = vi.fn();
  intake.onDelivery({
    body: Buffer.alloc(0),
    messageId: eventId,
    headers: {},
    redelivered: false,
    live: true,
    ack() {},
    deadLetter() {},
    requeue,
  });
  now = 2_000;
  await vi.waitFor(() => expect(marked).toEqual([eventId]));
  expect(await intake.drain(1)).toEqual([eventId]);
  expect(requeue).toHaveBeenCalledOnce();
});

test("a lost channel takes back the starts of its deliveries once; the next channel's stay counted", async () => {
  const said: string[] = [];
  const { intake, inFlight } = start({
    concurrency: 4,
    poisonStarts: 3,
    remarkMs: 10_000,
    maxMessageBytes: 1_000,
    giveUp: new AbortController(),
    log: pino({ level: 'silent' }),
    steps: {
      wasErased: async () => false,
      load: async (ref) => ({
        eventId: 'eventId' in ref ? ref.eventId : eventId,
        status: 'PENDING',
        attemptCount: 0,
        unfinishedStarts: 0,
        owner: { userId: 'u', topicId: null, endTime: new Date(0) },
        text: [Buffer.from('{}')],
      }),
      score: () => new Promise(() => {}),
      settle: () => new Promise(() => {}),
      countStart: async (id) => void said.push(`count ${id.at(-1)}`),
      uncountStart: async (id) => void said.push(`uncount ${id.at(-1)}`),
      markProcessing: async () => {},
    },
  });
  const channel = { live: true };
  const deliver = (id: string, from: { readonly live: boolean }) =>
    intake.onDelivery({
      body: Buffer.alloc(0),
      messageId: id,
      headers: {},
      redelivered: true,
      get live() {
        return from.live;
      },
      ack() {},
      deadLetter() {},
      requeue() {},
    });
  deliver(eventId, channel);
  deliver(eventId.replace(/1$/, '2'), { live: true });
  await vi.waitFor(() => expect(said).toEqual(['count 1', 'count 2']));
  channel.live = false;
  intake.onChannelLost();
  intake.onChannelLost();
  await vi.waitFor(() => expect(said).toEqual(['count 1', 'count 2', 'uncount 1']));
  expect(inFlight.size).toBe(2);
  await intake.drain(1);
  expect(said).toEqual(['count 1', 'count 2', 'uncount 1', 'uncount 2']);
});

test('a drain takes starts back before their deliveries go, also those that are just being counted', async () => {
  const said: string[] = [];
  const counting = Promise.withResolvers<void>();
  const { intake, inFlight } = start({
    concurrency: 4,
    poisonStarts: 3,
    remarkMs: 10_000,
    maxMessageBytes: 1_000,
    giveUp: new AbortController(),
    log: pino({ level: 'silent' }),
    steps: {
      wasErased: async () => false,
      load: async () => ({
        eventId,
        status: 'PENDING',
        attemptCount: 0,
        unfinishedStarts: 0,
        owner: { userId: 'u', topicId: null, endTime: new Date(0) },
        text: [Buffer.from('{}')],
      }),
      score: () => new Promise(() => {}),
      settle: () => new Promise(() => {}),
      countStart: () => {
        said.push('count');
        return counting.promise;
      },
      uncountStart: async () => void said.push('uncount'),
      markProcessing: async () => {},
    },
  });
  intake.onDelivery({
    body: Buffer.alloc(0),
    messageId: eventId,
    headers: {},
    redelivered: true,
    live: true,
    ack() {},
    deadLetter() {},
    requeue: () => void said.push('requeue'),
  });
  await vi.waitFor(() => expect(said).toEqual(['count']));
  const drained = intake.drain(1);
  await vi.waitFor(() => expect(inFlight.size).toBe(1));
  counting.resolve();
  await drained;
  expect(said).toEqual(['count', 'uncount', 'requeue']);
});
