import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { createConfirmMarks } from './confirm-marks.ts';
import { findLost } from './find-lost.ts';
import type {
  ClaimDue,
  CountQueues,
  ExtendDue,
  MakeLostDue,
  Postpone,
  PublishMessage,
  StoreMarks,
  ToPublish,
} from './ports.ts';
import { createPublications } from './publications.ts';
import { runRelay } from './relay.ts';

export type Outbox = {
  /**
   * The fast path: publishes a committed event without waiting. A failure needs no handling: the event is due after the
   * grace period, and the relay takes it.
   */
  publishNew(event: ToPublish): void;
  /** Stops the relay, waits for pending confirms (at most `withinMs`), and writes the last marks. */
  close(withinMs: number): Promise<void>;
  readonly gauge: Gauge;
};

export function createOutbox(options: {
  readonly publish: PublishMessage;
  readonly brokerReady: () => boolean;
  readonly claimDue: ClaimDue;
  readonly storeMarks: StoreMarks;
  readonly extendDue: ExtendDue;
  readonly postpone: Postpone;
  readonly countQueues: CountQueues;
  readonly makeLostDue: MakeLostDue;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly lostAfterMs: number;
  readonly log: Logger;
}): Outbox {
  const marks = createConfirmMarks(options);
  const publications = createPublications({ ...options, marks });
  const stop = new AbortController();
  const loops = [
    runRelay({ ...options, publications, stop: stop.signal }),
    findLost({ ...options, stop: stop.signal }),
  ];

  return {
    publishNew(event) {
      const { eventId } = event;
      publications.publish(event, { dueAt: null, attemptCount: 0 }).catch((error: unknown) => {
        options.log.debug({ err: error, event_id: eventId }, 'not published at once; the relay will');
      });
    },
    async close(withinMs) {
      stop.abort();
      await settlesWithin(Promise.all([...loops, publications.settled()]), withinMs);
      publications.stop();
      await settlesWithin(marks.flush(), withinMs);
    },
    gauge: marks.gauge,
  };
}
