import type { EventPointer } from '../event/event.ts';
import { encodeMessage, type Message } from '../event/message.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';
import { type ConfirmMarks, createConfirmMarks, type StoreMarks } from './confirm-marks.ts';
import { findLost, type MakeLostDue, type QueueDepth } from './find-lost.ts';

/** Resolves when the broker has the message; rejects (transient) at once when it cannot be had. */
export type PublishMessage = (message: Message) => Promise<void>;
/** Events that no other relay takes until they are due again, after the grace. */
export type Claimed = { readonly events: readonly EventPointer[]; readonly dueAt: Date };
export type ClaimDue = (limit: number) => Promise<Claimed>;

export type Outbox = {
  /**
   * The fast path: publishes a committed event without waiting. A failure needs no handling, the event is due after the
   * grace and the relay takes it.
   */
  publishNew(event: EventPointer): void;
  /** Stops the relay, waits for confirms under way (at most `withinMs`), writes the last marks. */
  close(withinMs: number): Promise<void>;
  readonly gauge: Gauge;
};

const claimLimit = 200;

export function createOutbox(options: {
  readonly publish: PublishMessage;
  readonly brokerReady: () => boolean;
  readonly claimDue: ClaimDue;
  readonly storeMarks: StoreMarks;
  readonly queueDepth: QueueDepth;
  readonly makeLostDue: MakeLostDue;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly lostAfterMs: number;
  readonly log: Logger;
}): Outbox {
  const marks = createConfirmMarks({ storeMarks: options.storeMarks, graceMs: options.graceMs, log: options.log });
  const stop = new AbortController();
  const underWay = new Set<Promise<void>>();

  const loops = [runRelay({ ...options, marks, stop: stop.signal }), findLost({ ...options, stop: stop.signal })];

  return {
    publishNew(event) {
      // The id alone: a caller may pass an event with its text, and what waits for a confirm is bounded by the size of messages.
      const { eventId } = event;
      const published = options.publish(encodeMessage(event)).then(
        () => marks.add({ eventId, dueAt: null }),
        (error: unknown) => options.log.debug({ err: error, event_id: eventId }, 'not published at once; the relay will'),
      );
      underWay.add(published);
      void published.finally(() => underWay.delete(published));
    },
    async close(withinMs) {
      stop.abort();
      await settlesWithin(Promise.allSettled([...loops, ...underWay]), withinMs);
      await settlesWithin(marks.flush(), withinMs);
    },
    gauge: marks.gauge,
  };
}

/**
 * Publishes due events: those whose fast path failed, whose retry has come, or that the broker lost. Runs in every
 * process; claims never overlap. Claims nothing while the broker is away, and waits longer after each failure.
 */
async function runRelay(options: {
  readonly publish: PublishMessage;
  readonly brokerReady: () => boolean;
  readonly claimDue: ClaimDue;
  readonly marks: ConfirmMarks;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}): Promise<void> {
  const { log, stop } = options;
  const backoff = createBackoff(options.intervalMs, 30_000);
  while (!stop.aborted) {
    // ±50 %: a fleet that started together should not ask together.
    let waitMs = options.intervalMs * (0.5 + Math.random());
    if (options.brokerReady()) {
      try {
        const claimed = await options.claimDue(claimLimit);
        const { length } = claimed.events;
        const failed = await relayBatch(claimed, options);
        if (failed > 0) {
          waitMs = backoff.next();
          log.warn({ failed, waitMs }, 'relay: the broker did not take every event; they stay due');
        } else {
          backoff.reset();
          if (length > 0) log.info({ events: length }, 'relay: published due events');
          if (length === claimLimit) waitMs = 0;
        }
      } catch (error) {
        waitMs = backoff.next();
        log.warn({ err: error, waitMs }, 'relay: cannot claim due events');
      }
    }
    await pause(waitMs, stop);
  }
}

/** @returns how many were not confirmed within the grace, after which they are due again anyway. */
async function relayBatch(
  { events, dueAt }: Claimed,
  options: { readonly publish: PublishMessage; readonly marks: ConfirmMarks; readonly graceMs: number },
): Promise<number> {
  let confirmed = 0;
  const publishing = events.map(async (event) => {
    await options.publish(encodeMessage(event));
    options.marks.add({ eventId: event.eventId, dueAt });
    confirmed++;
  });
  await settlesWithin(Promise.allSettled(publishing), options.graceMs);
  return events.length - confirmed;
}
