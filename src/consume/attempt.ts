import type { ConversationText } from '../event/conversation.ts';
import { type EventId, type EventRef, isOpen } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { refsOf } from '../event/message.ts';
import type { AttemptResult, LoadedEvent, Outcome, Settled } from '../event/outcome.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { pause } from '../runtime/wait.ts';
import type { Running } from './in-flight.ts';
import type { Received } from './ports.ts';
import { createQuarantine } from './quarantine.ts';
import type { Starts } from './starts.ts';

export type AttemptSteps = {
  /**
   * @throws {PipelineError} transient, when the drain is over or the database was away for ten minutes. Not transient
   *   if reading this event alone fails with an error that does not pass.
   */
  readonly load: (ref: EventRef) => Promise<LoadedEvent | null>;
  readonly score: (text: ConversationText) => Promise<Outcome>;
  readonly settle: (attempt: AttemptResult) => Promise<Settled>;
  /** Whether the user of an event that is not there was erased. @throws {PipelineError} transient */
  readonly wasErased: (id: EventId) => Promise<boolean>;
};

/** A start is taken back in milliseconds, and within a second at the end of a drain. */
const takeBackMs = 1_000;

/**
 * One attempt at one delivery: finds its event, looks at the event's past if it was delivered before, scores and
 * settles it. Runs to its answer or throws (transient: requeue; otherwise a bug, see intake).
 */
export function createAttempt(options: {
  readonly steps: AttemptSteps;
  readonly starts: Starts;
  readonly concurrency: number;
  readonly poisonStarts: number;
  readonly maxMessageBytes: number;
  /** Aborted when the drain is over: waiting ends, and the delivery is requeued. */
  readonly giveUp: AbortSignal;
  readonly now: () => number;
}) {
  const { steps, starts, giveUp, poisonStarts } = options;
  const quarantine = createQuarantine(options.concurrency);

  return async function attempt(delivery: Received, running: Running): Promise<Settled> {
    const settled = await tryOnce(delivery, running);
    if (settled.as !== 'unknown-event') return settled;
    // Rare, so that it costs the others nothing.
    for (const ref of refsOf(delivery))
      if ('eventId' in ref && (await steps.wasErased(ref.eventId))) return { verb: 'ack', as: 'erased' };
    return settled;
  };

  async function tryOnce(delivery: Received, running: Running): Promise<Settled> {
    if (delivery.body.length > options.maxMessageBytes) return notOurs('TOO_LARGE');
    const event = await find(delivery);
    if (event === 'nameless') return notOurs('NAMES_NO_EVENT');
    if (event === null) return { verb: 'dead-letter', as: 'unknown-event' };
    running.eventId = event.eventId;
    running.isRetry = event.attemptCount > 0;
    if (!isOpen(event.status)) return answerClosed(event, delivery);
    return delivery.redelivered ? runRedelivered(event, delivery, running) : run(event, delivery, running);
  }

  /** The event of a delivery; null if no such event exists, `nameless` if the message names none. */
  async function find(delivery: Received): Promise<LoadedEvent | null | 'nameless'> {
    let isNamed = false;
    for (const ref of refsOf(delivery)) {
      const began = performance.now();
      const event = await spans.load.around({}, () => steps.load(ref));
      telemetry.stepped.tell({ step: 'load', ms: msSince(began) });
      if (event !== null) return event;
      isNamed = true;
    }
    return isNamed ? null : 'nameless';
  }

  async function run(event: LoadedEvent, delivery: Received, running: Running): Promise<Settled> {
    if (event.text === null) return settle(event, logMissing, delivery, running);
    return settle(event, await steps.score(event.text), delivery, running);
  }

  /** Its earlier start may have killed a process: this one is counted first, and runs in quarantine if one did. */
  async function runRedelivered(loaded: LoadedEvent, delivery: Received, running: Running): Promise<Settled> {
    const event = loaded.unfinishedStarts >= poisonStarts ? await readAgain(loaded) : loaded;
    if (!isOpen(event.status)) return answerClosed(event, delivery);
    if (event.text === null) return run(event, delivery, running);
    if (event.unfinishedStarts >= poisonStarts) return settle(event, poison(event), delivery, running);
    const runCounted = async () => {
      if (giveUp.aborted) throw drained();
      if (!delivery.live) throw new PipelineError('transient', 'CHANNEL_LOST', 'another worker gets this delivery');
      await starts.count(event.eventId, running, delivery);
      return run(event, delivery, running);
    };
    return event.unfinishedStarts === 0 ? runCounted() : quarantine.run(event.unfinishedStarts, runCounted);
  }

  /** After a moment: a worker that requeued the event, or lost its channel, may still be taking its start back. */
  async function readAgain(event: LoadedEvent): Promise<LoadedEvent> {
    await pause(takeBackMs, giveUp);
    if (giveUp.aborted) throw drained();
    return (await steps.load({ eventId: event.eventId })) ?? event;
  }

  async function settle(
    { eventId, owner, attemptCount }: LoadedEvent,
    outcome: Outcome,
    { redelivered }: Received,
    running: Running,
  ): Promise<Settled> {
    running.settling = true;
    await running.marking;
    const runningMs = options.now() - running.startedAt;
    const began = performance.now();
    const result = { eventId, owner, attemptCount, outcome, redelivered, runningMs };
    const settled = await spans.settle.around({}, () => steps.settle(result));
    telemetry.stepped.tell({ step: 'settle', ms: msSince(began) });
    return settled;
  }
}

/** A second delivery of a FAILED event is dead-lettered again: the first dead-lettering may have been interrupted. */
function answerClosed({ status }: LoadedEvent, { redelivered }: Received): Settled {
  return status === 'FAILED' && redelivered
    ? { verb: 'dead-letter', as: 'failed', code: null }
    : { verb: 'ack', as: 'duplicate' };
}

const logMissing: Outcome = {
  kind: 'failed',
  permanent: true,
  code: 'LOG_MISSING',
  details: 'the log of this conversation is not in the database',
};

function poison({ unfinishedStarts }: LoadedEvent): Outcome {
  const details = `${unfinishedStarts} starts ended with the process and not with a result`;
  return { kind: 'failed', permanent: true, code: 'POISON', details };
}

function notOurs(code: string): Settled {
  return { verb: 'dead-letter', as: 'not-ours', code };
}

function drained(): PipelineError {
  return new PipelineError('transient', 'DRAINED', 'the drain is over');
}
