import type { ConversationText } from '../event/conversation.ts';
import { isOpen } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { refsOf } from '../event/message.ts';
import type { AttemptResult, LoadedEvent, Outcome, Settled } from '../event/outcome.ts';
import { pause } from '../runtime/wait.ts';
import type { Running } from './in-flight.ts';
import type { LoadEvent } from './load.ts';
import type { Starts } from './starts.ts';
import { createSuspectLane } from './suspect-lane.ts';

/** The part of a delivery that an attempt needs; the broker is answered elsewhere. */
export type Received = {
  readonly body: Buffer;
  readonly messageId: string | undefined;
  readonly redelivered: boolean;
  /** False once its channel is gone. */
  readonly live: boolean;
};

/** Taking a start back takes milliseconds, and at most a second at the end of a drain. */
const takeBackMs = 1_000;

export type AttemptSteps = {
  readonly load: LoadEvent;
  readonly score: (text: ConversationText) => Promise<Outcome>;
  readonly settle: (attempt: AttemptResult) => Promise<Settled>;
};

/** The final answer for a delivery. */
export type Answer = Settled | { readonly verb: 'dead-letter'; readonly as: 'not-ours'; readonly reason: string };

/**
 * One attempt at one delivery: finds its event, checks the event's unfinished starts if it is redelivered, scores and
 * settles. Returns the answer, or throws (transient: requeue; bug: see intake).
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
  const { steps, starts, giveUp } = options;
  const suspectLane = createSuspectLane(options.concurrency);

  return async function attempt(delivery: Received, running: Running): Promise<Answer> {
    if (delivery.body.length > options.maxMessageBytes) return notOurs('TOO_LARGE');
    const event = await findCounted(delivery);
    if (event === 'nameless') return notOurs('NAMES_NO_EVENT');
    if (event === null) return { verb: 'dead-letter', as: 'unknown-event' };
    running.eventId = event.eventId;
    if (!isOpen(event.status)) return answerClosed(event, delivery);
    if (event.text === null)
      return settle(
        event,
        failed('LOG_MISSING', 'the log of this conversation is not in the database'),
        delivery,
        running,
      );
    const { text } = event;
    const scoreAndSettle = async () => settle(event, await steps.score(text), delivery, running);
    if (!delivery.redelivered) return scoreAndSettle();

    if (looksPoisonous(event, delivery)) {
      const details = `${event.unfinishedStarts} starts ended with the process and not with a result`;
      return settle(event, failed('POISON', details), delivery, running);
    }
    const counted = async () => {
      if (giveUp.aborted) throw drained();
      if (!delivery.live) throw new PipelineError('transient', 'CHANNEL_LOST', 'the broker delivers this again');
      await starts.count(event.eventId, running, delivery);
      return scoreAndSettle();
    };
    return event.unfinishedStarts === 0 ? counted() : suspectLane.run(event.unfinishedStarts, counted);
  };

  /**
   * Reads the event. One that looks like POISON is read again after a moment, because a worker that requeued it, or
   * lost its channel, may still be taking its start back.
   */
  async function findCounted(delivery: Received): Promise<LoadedEvent | null | 'nameless'> {
    const event = await find(delivery);
    if (event === null || event === 'nameless' || !looksPoisonous(event, delivery)) return event;
    await pause(takeBackMs, giveUp);
    if (giveUp.aborted) throw drained();
    return (await steps.load({ eventId: event.eventId })) ?? event;
  }

  function looksPoisonous({ status, unfinishedStarts }: LoadedEvent, { redelivered }: Received): boolean {
    return redelivered && isOpen(status) && unfinishedStarts >= options.poisonStarts;
  }

  async function find(delivery: Received): Promise<LoadedEvent | null | 'nameless'> {
    let named = false;
    for (const ref of refsOf(delivery)) {
      const event = await steps.load(ref);
      if (event !== null) return event;
      named = true;
    }
    return named ? null : 'nameless';
  }

  async function settle(
    event: LoadedEvent,
    outcome: Outcome,
    { redelivered }: Received,
    running: Running,
  ): Promise<Settled> {
    running.settling = true;
    await running.marking;
    const { eventId, owner, attemptCount } = event;
    return steps.settle({
      eventId,
      owner,
      attemptCount,
      outcome,
      redelivered,
      runningMs: options.now() - running.startedAt,
    });
  }
}

/** A redelivered FAILED event is dead-lettered again, because its first dead-lettering may not have arrived. */
function answerClosed(event: LoadedEvent, { redelivered }: Received): Answer {
  return event.status === 'FAILED' && redelivered
    ? { verb: 'dead-letter', as: 'failed' }
    : { verb: 'ack', as: 'duplicate' };
}

function failed(code: string, details: string): Outcome {
  return { kind: 'failed', permanent: true, code, details };
}

function drained(): PipelineError {
  return new PipelineError('transient', 'DRAINED', 'the drain is over');
}

function notOurs(reason: string): Answer {
  return { verb: 'dead-letter', as: 'not-ours', reason };
}
