import type { EventId } from '../event/event.ts';
import { faultOf } from '../event/fault.ts';
import { refOfId } from '../event/message.ts';
import { type Logger, withCorrelation } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { type Answer, type AttemptSteps, createAttempt, type Received } from './attempt.ts';
import { createInFlight, type MarkProcessing, type Running } from './in-flight.ts';
import { createStarts, type StartSteps } from './starts.ts';

export type Delivery = Received & {
  ack(): void;
  deadLetter(): void;
  requeue(): void;
};

export type Counters = Record<
  'processed' | 'retry' | 'failed' | 'duplicate' | 'unknown-event' | 'not-ours' | 'bug' | 'requeued',
  number
>;

export type Intake = {
  /** Takes a delivery and answers it sooner or later, exactly once. */
  onDelivery(delivery: Delivery): void;
  /** Call when a channel is lost. Attempts of its deliveries keep running, and their counted starts are taken back. */
  onChannelLost(): void;
  /**
   * Lets running attempts finish within `withinMs` and requeues the rest. Call after the consumer has stopped taking.
   * @returns ids of the events requeued unfinished.
   */
  drain(withinMs: number): Promise<(EventId | null)[]>;
  readonly counters: Readonly<Counters>;
  readonly inFlight: number;
};

/**
 * Takes deliveries and answers them. At most `concurrency` attempts run at once. The broker sends no more than that, so
 * a delivery waits only while attempts of a lost channel still run. It is dropped if its own channel is lost meanwhile.
 */
export function createIntake(options: {
  readonly concurrency: number;
  readonly steps: AttemptSteps &
    StartSteps & {
      readonly markProcessing: MarkProcessing;
    };
  readonly poisonStarts: number;
  /** How often a running attempt is marked as PROCESSING, milliseconds. */
  readonly remarkMs: number;
  readonly maxMessageBytes: number;
  /** Aborted here when the drain is over; the steps listen to its signal. */
  readonly giveUp: AbortController;
  readonly log: Logger;
  readonly now?: () => number;
}): Intake {
  const { log, giveUp, steps } = options;
  const now = options.now ?? (() => performance.now());
  const starts = createStarts({ steps, giveUp: giveUp.signal, log });
  const attempt = createAttempt({ ...options, starts, giveUp: giveUp.signal, now });
  const inFlight = createInFlight({ markProcessing: steps.markProcessing, remarkMs: options.remarkMs, log, now });
  const waiting: Delivery[] = [];
  const unfinished = new Map<Delivery, Running>();
  const counters: Counters = {
    processed: 0,
    retry: 0,
    failed: 0,
    duplicate: 0,
    'unknown-event': 0,
    'not-ours': 0,
    bug: 0,
    requeued: 0,
  };
  let draining = false;

  function next(): void {
    while (inFlight.size < options.concurrency) {
      const delivery = waiting.shift();
      if (!delivery) return;
      if (delivery.live) void run(delivery);
    }
  }

  async function run(delivery: Delivery): Promise<void> {
    const named = refOfId(delivery.messageId);
    // Marked and reported under this id even while it is being loaded: a load that takes long must not look lost.
    const running = inFlight.start(named?.eventId ?? null);
    unfinished.set(delivery, running);
    try {
      const answer = await withCorrelation(named === null ? {} : { event_id: named.eventId }, () =>
        attempt(delivery, running),
      );
      if (unfinished.delete(delivery)) give(delivery, answer, running);
    } catch (error) {
      if (unfinished.delete(delivery)) await giveBack(delivery, running, error);
    } finally {
      inFlight.finish(running);
      next();
    }
  }

  function give(delivery: Delivery, answer: Answer, running: Running): void {
    counters[answer.as]++;
    const tookMs = Math.round(now() - running.startedAt);
    const fields = { event_id: running.eventId ?? undefined, took_ms: tookMs, redelivered: delivery.redelivered };
    if (answer.verb === 'ack') {
      delivery.ack();
      log[answer.as === 'retry' ? 'warn' : 'debug'](fields, answer.as);
    } else {
      delivery.deadLetter();
      log.warn({ ...fields, as: answer.as, ...('reason' in answer && { reason: answer.reason }) }, 'dead-lettered');
    }
  }

  async function giveBack(delivery: Delivery, running: Running, error: unknown): Promise<void> {
    const event_id = running.eventId ?? undefined;
    if (faultOf(error) === 'transient') {
      counters.requeued++;
      log.warn({ err: error, event_id }, 'delivery goes back to the queue');
      await takeBack([running]);
      delivery.requeue();
      return;
    }
    // A bug of ours: a requeue would loop. The row stays open, and the relay publishes it again later.
    counters.bug++;
    log.error({ err: error, event_id }, 'a bug while handling a delivery; dead-lettered');
    delivery.deadLetter();
  }

  /** Takes back as many starts as the database allows within a second. */
  async function takeBack(attempts: readonly Running[]): Promise<void> {
    await settlesWithin(Promise.all(attempts.map(starts.takeBack)), 1_000);
  }

  return {
    onDelivery(delivery) {
      if (draining) return delivery.requeue();
      // The broker has requeued those of a lost channel. Dropping them keeps at most one channel's prefetch waiting.
      for (let i = waiting.length - 1; i >= 0 && waiting.length >= options.concurrency; i--)
        if (!waiting[i]?.live) waiting.splice(i, 1);
      waiting.push(delivery);
      next();
    },
    onChannelLost() {
      for (const [delivery, running] of unfinished) if (!delivery.live) void starts.takeBack(running);
    },
    async drain(withinMs) {
      draining = true;
      for (const delivery of waiting.splice(0)) delivery.requeue();
      await settlesWithin(inFlight.empty(), withinMs);
      giveUp.abort('drained');
      inFlight.stop();
      const rest = [...unfinished];
      unfinished.clear();
      // Before requeueing: the worker that gets a delivery next must not read a count that is about to be lowered.
      await takeBack(rest.map(([, running]) => running));
      for (const [delivery] of rest) delivery.requeue();
      counters.requeued += rest.length;
      return rest.map(([, running]) => running.eventId);
    },
    counters,
    get inFlight() {
      return inFlight.size;
    },
  };
}
