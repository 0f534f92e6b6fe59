import { type EventId, type EventRef, type EventStatus, parseEventId } from '../event/event.ts';
import { faultOf, PipelineError } from '../event/fault.ts';
import type { AttemptResult, Outcome, Owner, Settled } from '../event/outcome.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';
import type { Running } from './in-flight.ts';
import { createSuspectLane } from './suspect-lane.ts';

/** A delivery as far as an attempt is concerned; the broker's answer is given elsewhere. */
export type Received = { readonly body: Buffer; readonly messageId: string | undefined; readonly redelivered: boolean };

/** What a scoring thread makes of a message, or what became of the thread. */
export type ScoreMessage = (
  body: Uint8Array,
) => Promise<
  | { readonly kind: 'done'; readonly eventId: EventId; readonly owner: Owner | null; readonly outcome: Outcome }
  | { readonly kind: 'incomplete'; readonly ref: EventRef }
  | { readonly kind: 'not-ours'; readonly reason: string }
  | { readonly kind: 'lost'; readonly outcome: Outcome }
>;

export type AttemptSteps = {
  readonly score: ScoreMessage;
  /** A whole message body made from the event's row; null if there is no such event. */
  readonly loadMessage: (ref: EventRef) => Promise<{ readonly eventId: EventId; readonly body: Buffer } | null>;
  readonly findStarts: (eventId: EventId) => Promise<{ readonly status: EventStatus; readonly unfinished: number } | null>;
  readonly countStart: (eventId: EventId) => Promise<void>;
  readonly settle: (attempt: AttemptResult) => Promise<Settled>;
};

/** The final answer for a delivery. */
export type Answer = Settled | { readonly verb: 'dead-letter'; readonly as: 'not-ours'; readonly reason: string };

/**
 * One attempt at one delivery: look at its past if it has one, score, settle.
 * Runs to its answer or throws (transient: requeue; bug: see intake).
 */
export function createAttempt(options: {
  readonly steps: AttemptSteps;
  readonly concurrency: number;
  readonly poisonStarts: number;
  readonly maxMessageBytes: number;
  /** Aborted when the drain is over: waiting ends, the delivery goes back. */
  readonly giveUp: AbortSignal;
  readonly log: Logger;
  readonly now: () => number;
}) {
  const { steps, giveUp, log } = options;
  const suspectLane = createSuspectLane(options.concurrency);

  return async function attempt(delivery: Received, running: Running): Promise<Answer> {
    if (delivery.body.length > options.maxMessageBytes) return notOurs('TOO_LARGE');
    if (!delivery.redelivered) return scoreAndSettle(delivery, running);

    const eventId = running.eventId;
    const past = eventId === null ? null : await holding(() => steps.findStarts(eventId));
    if (eventId === null || past === null) return scoreAndSettle(delivery, running);
    if (past.status === 'PROCESSED' || past.status === 'SKIPPED') return { verb: 'ack', as: 'duplicate' };
    // Closed rows count no starts: a second copy of a poison would kill one process after the other.
    if (past.status === 'FAILED') return { verb: 'dead-letter', as: 'failed' };
    if (past.unfinished >= options.poisonStarts) {
      const details = `${past.unfinished} starts ended with the process and not with a result`;
      return settle({ eventId, owner: null, outcome: { kind: 'failed', permanent: true, code: 'POISON', details } }, delivery, running);
    }
    const counted = async () => {
      if (giveUp.aborted) throw new PipelineError('transient', 'DRAINED', 'the drain is over');
      await holding(() => steps.countStart(eventId));
      running.counted = true;
      return scoreAndSettle(delivery, running);
    };
    return past.unfinished === 0 ? counted() : suspectLane.run(past.unfinished, counted);
  };

  async function scoreAndSettle(delivery: Received, running: Running): Promise<Answer> {
    let reply = await steps.score(delivery.body);
    let eventId = running.eventId;
    if (reply.kind === 'incomplete') {
      const { ref } = reply;
      const loaded = await holding(() => steps.loadMessage(ref));
      if (loaded === null) return { verb: 'dead-letter', as: 'unknown-event' };
      eventId = loaded.eventId;
      reply = await steps.score(loaded.body);
    }
    switch (reply.kind) {
      case 'done':
        return settle(reply, delivery, running);
      case 'lost':
        // The thread died with the message: whose it was is known from outside it.
        if (eventId === null) return notOurs('KILLED_ITS_THREAD');
        return settle({ eventId, owner: null, outcome: reply.outcome }, delivery, running);
      case 'not-ours':
        return notOurs(reply.reason);
      case 'incomplete':
        throw new PipelineError('bug', 'INCOMPLETE_ROW', 'a message made from the row lacks something');
    }
  }

  async function settle(
    { eventId, owner, outcome }: Pick<AttemptResult, 'eventId' | 'owner' | 'outcome'>,
    delivery: Received,
    running: Running,
  ): Promise<Settled> {
    running.settling = true;
    await running.marking;
    return steps.settle({ eventId, owner, outcome, redelivered: delivery.redelivered, runningMs: options.now() - running.startedAt });
  }

  /** Repeats a step while the database is away. */
  function holding<T>(step: () => Promise<T>): Promise<T> {
    return hold(step, {
      mayPass: (error) => faultOf(error) === 'transient',
      giveUp,
      onWait: (error, waitMs) => log.warn({ err: error, waitMs }, 'the database is away; holding the delivery'),
    });
  }
}

/** Whose delivery it is, as far as its properties say. */
export function eventIdOf(delivery: Received): EventId | null {
  return parseEventId(delivery.messageId);
}

function notOurs(reason: string): Answer {
  return { verb: 'dead-letter', as: 'not-ours', reason };
}
