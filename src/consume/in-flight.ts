import type { EventId } from '../event/event.ts';
import type { Logger } from '../runtime/log.ts';

/** An attempt that runs. */
export type Running = {
  /** As the message names it, until the row has been read; null if only the row can say. */
  eventId: EventId | null;
  readonly startedAt: number;
  /** When it was last written that it runs; null: not yet. */
  markedAt: number | null;
  /** That write, while it is under way. Settling waits for it, or it could come last. */
  marking: Promise<void> | null;
  /** From here on it is not marked any more. */
  settling: boolean;
  /** The count of its start in the row (a redelivered event); to be taken back if it is given back unfinished. */
  counting: Promise<void> | null;
};

/** Writes that attempts run: PROCESSING, at this moment. */
export type MarkProcessing = (
  attempts: readonly { readonly eventId: EventId; readonly runningMs: number }[],
) => Promise<void>;

/** From this age on an attempt is shown as PROCESSING; quick ones never are, and cost no write. */
const shownAfterMs = 1_000;
const sweepMs = 250;

/**
 * The attempts that run, and the sweep that writes so of the slow ones: after a second, and again every `remarkMs` as
 * long as they run. One timer for all of them.
 */
export function createInFlight(options: {
  readonly markProcessing: MarkProcessing;
  readonly remarkMs: number;
  readonly log: Logger;
  readonly now: () => number;
}) {
  const running = new Set<Running>();
  const emptyWaiters: (() => void)[] = [];

  const sweep = setInterval(() => {
    const now = options.now();
    const due = [...running].filter((r) => !r.settling && r.marking === null && isDue(r, now));
    const attempts = due.flatMap((r) =>
      r.eventId === null ? [] : [{ eventId: r.eventId, runningMs: now - r.startedAt }],
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
      r.markedAt = now;
    }
  }, sweepMs);
  sweep.unref();

  function isDue(r: Running, now: number): boolean {
    return r.markedAt === null ? now - r.startedAt >= shownAfterMs : now - r.markedAt >= options.remarkMs;
  }

  return {
    start(eventId: EventId | null): Running {
      const entry: Running = {
        eventId,
        startedAt: options.now(),
        markedAt: null,
        marking: null,
        settling: false,
        counting: null,
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
    /** Resolves when nothing runs. */
    empty(): Promise<void> {
      return running.size === 0 ? Promise.resolve() : new Promise((resolve) => emptyWaiters.push(resolve));
    },
    stop(): void {
      clearInterval(sweep);
    },
  };
}
