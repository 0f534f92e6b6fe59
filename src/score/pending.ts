import type { Outcome } from '../event/outcome.ts';
import { tookTooLong } from './score-conversation.ts';

/** How a scoring ended. */
export type Ended = {
  readonly id: number;
  readonly outcome: Outcome;
  readonly tookMs: number;
  /** It ignored its abort and goes on; nobody waits for it any more. */
  readonly overdue: boolean;
};

/** A scoring whose scorer has answered with a promise, in its thread. */
export type PendingScoring = {
  /** Resolves with the scorer's answer, or when it is overdue. */
  readonly over: Promise<Ended>;
  /** Starts its deadline. */
  limit(timeoutMs: number): void;
  abort(reason: DOMException): void;
};

/**
 * A scoring's own waiting is what its deadline counts. Whatever others do meanwhile, this many deadlines on the clock
 * are the end.
 */
export const mostDeadlines = 2;

/** How long a scoring may go on after its abort, milliseconds: to close what it holds open, not to do more work. */
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
    resolve({ id, outcome, tookMs: performance.now() - beganAt, overdue });
  }

  void pending.then((outcome) => finish(outcome, false));
  return {
    over: promise,
    limit(timeoutMs) {
      // One that is over has no use for a timer, whose abort would reach what it left behind.
      if (isOver) return;
      const idleBefore = performance.eventLoopUtilization().idle;
      const leftMs = () => {
        const waited = performance.eventLoopUtilization().idle - idleBefore;
        return Math.min(timeoutMs - waited, timeoutMs * mostDeadlines - (performance.now() - beganAt));
      };
      const check = () => {
        const left = leftMs();
        // While another scoring used the CPU, an answer to this one may have come that nobody has read yet.
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
