import { type EventId, timeOfEventId } from '../event/event.ts';
import { faultOf } from '../event/fault.ts';
import { refOfId } from '../event/message.ts';
import type { Settled } from '../event/outcome.ts';
import { type Logger, withCorrelation } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { type Answer, telemetry } from '../runtime/telemetry.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { type AttemptSteps, createAttempt } from './attempt.ts';
import type { InFlight, Running } from './in-flight.ts';
import type { Delivery, StartSteps } from './ports.ts';
import { createStarts } from './starts.ts';

type Processing = Parameters<typeof spans.process.around>[0];

type Counters = Record<Settled['as'] | 'bug' | 'requeued', number>;

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
  /** Changes how many attempts run at once; running ones go on. */
  setConcurrency(concurrency: number): void;
};

/**
 * Takes deliveries and answers them. At most `concurrency` attempts run at once. The broker sends no more than that, so
 * a delivery waits only while attempts of a lost channel still run. It is dropped if its own channel is lost meanwhile.
 */
export function createIntake(options: {
  readonly concurrency: number;
  readonly steps: AttemptSteps & StartSteps;
  readonly inFlight: InFlight;
  readonly poisonStarts: number;
  readonly maxMessageBytes: number;
  /** Aborted here when the drain is over; the steps listen to its signal. */
  readonly giveUp: AbortController;
  readonly log: Logger;
  readonly now?: () => number;
}): Intake {
  const { log, giveUp, steps, inFlight } = options;
  const now = options.now ?? (() => performance.now());
  const starts = createStarts({ steps, giveUp: giveUp.signal, log });
  const attempt = createAttempt({ ...options, starts, giveUp: giveUp.signal, now });
  let waiting: Delivery[] = [];
  const unfinished = new Map<Delivery, Running>();
  const counters: Counters = {
    processed: 0,
    retry: 0,
    failed: 0,
    duplicate: 0,
    erased: 0,
    'unknown-event': 0,
    'not-ours': 0,
    bug: 0,
    requeued: 0,
  };
  let draining = false;
  let { concurrency } = options;

  function next(): void {
    while (inFlight.size < concurrency) {
      const delivery = waiting.shift();
      if (!delivery) return;
      if (delivery.live) void trace(delivery);
    }
  }

  /** The broker has requeued those of a lost channel: without them, at most one channel's prefetch is waiting. */
  function dropDead(): void {
    waiting = waiting.filter((delivery) => delivery.live);
  }

  function trace(delivery: Delivery): Promise<void> {
    const { messageId, body, redelivered, headers } = delivery;
    const about: Processing = { messageId, bytes: body.length, redelivered, headers };
    return spans.process.around(about, () => run(delivery, about));
  }

  async function run(delivery: Delivery, about: Processing): Promise<void> {
    const named = refOfId(delivery.messageId);
    // Marked and reported under this id even while it is being loaded: a load that takes long must not look lost.
    const running = inFlight.start(named?.eventId ?? null);
    unfinished.set(delivery, running);
    try {
      const ids = named === null ? {} : { event_id: named.eventId };
      const settled = await withCorrelation(ids, () => attempt(delivery, running));
      if (unfinished.delete(delivery)) answer(delivery, settled, running, about);
    } catch (error) {
      if (unfinished.delete(delivery)) await giveBack(delivery, running, error, about);
    } finally {
      inFlight.finish(running);
      next();
    }
  }

  function answer(delivery: Delivery, settled: Settled, running: Running, about: Processing): void {
    counters[settled.as]++;
    tell(settled, delivery, running, about);
    const fields = {
      event_id: running.eventId ?? undefined,
      took_ms: Math.round(now() - running.startedAt),
      redelivered: delivery.redelivered,
      ...('code' in settled && settled.code !== null && { code: settled.code }),
    };
    if (settled.verb === 'dead-letter') {
      delivery.deadLetter();
      log.warn({ ...fields, as: settled.as }, 'dead-lettered');
    } else {
      delivery.ack();
      if (settled.as === 'retry') log.warn(fields, 'attempt failed; the event is tried again later');
      else log.debug(fields, settled.as);
    }
  }

  function tell(settled: Answer, { redelivered }: Delivery, running: Running, about: Processing): void {
    about.answer = settled;
    const acceptedAt = running.eventId === null ? null : timeOfEventId(running.eventId);
    const isFirst = !redelivered && !running.isRetry;
    telemetry.answered.tell({ settled, isFirst, acceptedAt, ms: now() - running.startedAt });
  }

  async function giveBack(delivery: Delivery, running: Running, error: unknown, about: Processing): Promise<void> {
    const event_id = running.eventId ?? undefined;
    if (faultOf(error) === 'transient') {
      counters.requeued++;
      tell({ as: 'requeued' }, delivery, running, about);
      log.warn({ err: error, event_id }, 'delivery goes back to the queue');
      await takeBack([running]);
      delivery.requeue();
      return;
    }
    // A bug of ours: a requeue would loop. The row stays open, and the relay publishes it again later.
    counters.bug++;
    tell({ as: 'bug' }, delivery, running, about);
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
      if (waiting.length >= concurrency) dropDead();
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
    setConcurrency(wanted) {
      concurrency = wanted;
      next();
    },
  };
}
