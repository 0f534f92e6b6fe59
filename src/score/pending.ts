import type { Outcome } from '../event/outcome.ts';
import { tookTooLong } from './score-conversation.ts';

/** How a scoring ended. */
export type Ended = {
  readonly id: number;
  readonly outcome: Outcome;
  /** As `performance.now()` counts in this thread. */
  readonly beganAt: number;
  readonly tookMs: number;
  /** It ignored its abort and is still running; its result is no longer awaited. */
  readonly overdue: boolean;
};

/** A scoring that the scorer answered with a promise. Lives in the scoring thread. */
export type PendingScoring = {
  /** Resolves with the scorer's answer, or when the scoring is overdue. */
  readonly over: Promise<Ended>;
  /** Starts its deadline. */
  limit(timeoutMs: number): void;
  abort(reason: DOMException): void;
};

/**
 * A deadline counts only the time that the thread spends waiting, not the CPU time of other scorings. After this many
 * deadlines of wall-clock time, the scoring is aborted in any case.
 */
export const mostDeadlines = 2;

/** How long a scoring may run after its abort, milliseconds: enough to clean up, not to do more work. */
const graceMs = 1_000;

export function watchPending(options: {
  readonly id: number;
  readonly beganAt: number;
  readonly scorerName: string;
  readonly pending: Promise<Outcome>;
  readonly control: AbortController;
}): PendingScoring {
  const { id, beganAt, pending, control } = options;
  const { promise, resolve } = Promise.withResolvers<Ended>();
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;

  function finish(outcome: Outcome, overdue: boolean): void {
    isOver = true;
    clearTimeout(timer);
    resolve({ id, outcome, beganAt, tookMs: performance.now() - beganAt, overdue });
  }

  void pending.then((outcome) => finish(outcome, false));
  return {
    over: promise,
    limit(timeoutMs) {
      // A finished scoring needs no timer, and its abort would reach whatever the scoring left running.
      if (isOver) return;
      const idleBefore = performance.eventLoopUtilization().idle;
      const leftMs = () => {
        const waited = performance.eventLoopUtilization().idle - idleBefore;
        return Math.min(timeoutMs - waited, timeoutMs * mostDeadlines - (performance.now() - beganAt));
      };
      const check = () => {
        const left = leftMs();
        // While another scoring used the CPU, an answer to this one may have arrived that has not been read yet.
        if (left >= 1) {
          timer = setTimeout(check, left);
          return;
        }
        control.abort(new DOMException(`scoring may take ${timeoutMs} ms`, 'TimeoutError'));
        const ignored = tookTooLong(options.scorerName, `went on for over ${graceMs} ms after its deadline`);
        timer = setTimeout(() => finish(ignored, true), graceMs);
      };
      timer = setTimeout(check, Math.max(1, leftMs()));
    },
    abort: (reason) => control.abort(reason),
  };
}
