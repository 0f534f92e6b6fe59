import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { createIntake } from '../../../src/consume/intake.ts';
import type { EventId } from '../../../src/event/event.ts';

const eventId = '019a0000-0000-7000-8000-000000000001' as EventId;

test('a delivery whose load is held is written to be in work, and a drain gives it back by name', async () => {
  const marked: EventId[] = [];
  let now = 0;
  const intake = createIntake({
    concurrency: 1,
    poisonStarts: 3,
    remarkMs: 10_000,
    maxMessageBytes: 1_000,
    giveUp: new AbortController(),
    log: pino({ level: 'silent' }),
    now: () => now,
    steps: {
      load: () => new Promise(() => {}),
      score: () => new Promise(() => {}),
      settle: () => new Promise(() => {}),
      countStart: async () => {},
      uncountStart: async () => {},
      markProcessing: async (attempts) => void marked.push(...attempts.map((a) => a.eventId)),
    },
  });
  const requeue = vi.fn();
  intake.onDelivery({ body: Buffer.alloc(0), messageId: eventId, redelivered: false, live: true, ack() {}, deadLetter() {}, requeue });
  now = 2_000;
  await vi.waitFor(() => expect(marked).toEqual([eventId]));
  expect(await intake.drain(1)).toEqual([eventId]);
  expect(requeue).toHaveBeenCalledOnce();
});
