import type { EventId } from '../event/event.ts';
import type { Logger } from '../runtime/log.ts';
import type { MarkProcessing } from './ports.ts';

/** A running attempt. */
export type Running = {
  /** From the message until the row has been read; null if the message does not contain it. */
  eventId: EventId | null;
  readonly startedAt: number;
  /** When it was last marked as PROCESSING; null if it has not been yet. */
  markedAt: number | null;
  /** The write of that mark, while it is pending. Settling waits for it; otherwise the mark could be written last. */
  marking: Promise<void> | null;
  /** Once true, it is no longer marked. */
  settling: boolean;
  /** The count of its start in the row (a redelivered event), to be taken back if the delivery is requeued. */
  counting: Promise<void> | null;
  /** Earlier attempts failed. */
  isRetry: boolean;
};

export type InFlight = {
  /** @param eventId  as the message names it; null if only the row can tell. */
  start(eventId: EventId | null): Running;
  finish(attempt: Running): void;
  readonly size: number;
  /** Resolves when no attempt is running. */
  empty(): Promise<void>;
  /** Stops marking. */
  stop(): void;
};

/** Attempts that run longer than this are marked as PROCESSING; quick ones never are, and cost no write. */
const shownAfterMs = 1_000;
const sweepMs = 250;

/**
 * Keeps the running attempts and marks the slow ones as PROCESSING: after a second, and again every `remarkMs` for as
 * long as they run. One timer serves all of them.
 */
export function createInFlight(options: {
  readonly markProcessing: MarkProcessing;
  readonly remarkMs: number;
  readonly log: Logger;
  readonly now?: () => number;
}): InFlight {
  const now = options.now ?? (() => performance.now());
  const running = new Set<Running>();
  const emptyWaiters: (() => void)[] = [];

  const sweep = setInterval(() => {
    const at = now();
    const due = [...running].filter((r) => !r.settling && r.marking === null && isDue(r, at));
    const attempts = due.flatMap((r) =>
      r.eventId === null ? [] : [{ eventId: r.eventId, runningMs: at - r.startedAt }],
    );
    if (attempts.length === 0) return;
    const marking = options
      .markProcessing(attempts)
      .catch((error: unknown) => options.log.debug({ err: error }, 'attempts not shown as PROCESSING'))
      .finally(() => {
        for (const r of due) r.marking = null;
      });
    for (const r of due) {
      r.marking = marking;
      r.markedAt = at;
    }
  }, sweepMs);
  sweep.unref();

  function isDue(r: Running, at: number): boolean {
    return r.markedAt === null ? at - r.startedAt >= shownAfterMs : at - r.markedAt >= options.remarkMs;
  }

  return {
    start(eventId: EventId | null): Running {
      const entry: Running = {
        eventId,
        startedAt: now(),
        markedAt: null,
        marking: null,
        settling: false,
        counting: null,
        isRetry: false,
      };
      running.add(entry);
      return entry;
    },
    finish(entry: Running): void {
      running.delete(entry);
      if (running.size === 0) for (const resolve of emptyWaiters.splice(0)) resolve();
    },
    get size() {
      return running.size;
    },
    empty(): Promise<void> {
      return running.size === 0 ? Promise.resolve() : new Promise((resolve) => emptyWaiters.push(resolve));
    },
    stop(): void {
      clearInterval(sweep);
    },
  };
}
