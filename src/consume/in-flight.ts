import type { EventId } from '../event/event.ts';
import type { Logger } from '../runtime/log.ts';

/** An attempt that runs. */
export type Running = {
  readonly eventId: EventId | null;
  readonly startedAt: number;
  /** The write that shows it as PROCESSING, once there is one. Settling waits for it, or it could come last. */
  marking: Promise<void> | null;
  /** Its start was counted in the row (a redelivered event); to be taken back if it is given back unfinished. */
  counted: boolean;
};

/** Writes PROCESSING for attempts that have run for a while. */
export type MarkProcessing = (attempts: readonly { readonly eventId: EventId; readonly runningMs: number }[]) => Promise<void>;

/** From this age on an attempt is shown as PROCESSING; quick ones never are, and cost no write. */
const shownAfterMs = 1_000;
const sweepMs = 250;

/** The attempts that run, and the sweep that shows the slow ones. One timer for all of them. */
export function createInFlight(options: { readonly markProcessing: MarkProcessing; readonly log: Logger; readonly now: () => number }) {
  const running = new Set<Running>();
  const emptyWaiters: (() => void)[] = [];

  const sweep = setInterval(() => {
    const due = [...running].filter((r) => r.marking === null && r.eventId !== null && options.now() - r.startedAt >= shownAfterMs);
    if (due.length === 0) return;
    const attempts = due.flatMap((r) => (r.eventId === null ? [] : [{ eventId: r.eventId, runningMs: options.now() - r.startedAt }]));
    const marking = options
      .markProcessing(attempts)
      .catch((error: unknown) => options.log.debug({ err: error }, 'attempts not shown as PROCESSING'));
    for (const r of due) r.marking = marking;
  }, sweepMs);
  sweep.unref();

  return {
    start(eventId: EventId | null): Running {
      const entry: Running = { eventId, startedAt: options.now(), marking: null, counted: false };
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
