import { type ScoreReply, tookTooLong, type Waiting } from './scoring.ts';

/** How a scoring ended. */
export type Ended = {
  readonly id: number;
  readonly reply: ScoreReply;
  readonly tookMs: number;
  /** It ignored its abort and goes on; nobody waits for it any more. */
  readonly overdue: boolean;
};

/** A scoring that waits, in its thread. */
export type Running = {
  /** Resolves with the scorer's answer, or when it is overdue. */
  readonly over: Promise<Ended>;
  /** Starts its deadline, which counts from its begin. */
  limit(timeoutMs: number): void;
  abort(reason: DOMException): void;
};

/** How long a scoring may go on after its abort, milliseconds: to close what it holds open, not to do more work. */
export const graceMs = 1_000;

export function watchRunning(options: {
  readonly id: number;
  readonly beganAt: number;
  readonly scorerName: string;
  readonly waiting: Waiting;
  readonly control: AbortController;
}): Running {
  const { id, beganAt, waiting, control } = options;
  const { promise, resolve } = Promise.withResolvers<Ended>();
  let timer: NodeJS.Timeout | undefined;

  function finish(reply: ScoreReply, overdue: boolean): void {
    clearTimeout(timer);
    resolve({ id, reply, tookMs: performance.now() - beganAt, overdue });
  }

  void waiting.outcome.then((outcome) => finish(waiting.replyWith(outcome), false));
  return {
    over: promise,
    limit(timeoutMs) {
      timer = setTimeout(
        () => {
          control.abort(new DOMException(`scoring may take ${timeoutMs} ms`, 'TimeoutError'));
          const ignored = tookTooLong(options.scorerName, `went on for over ${graceMs} ms after its deadline`);
          timer = setTimeout(() => finish(waiting.replyWith(ignored), true), graceMs);
        },
        timeoutMs - (performance.now() - beganAt),
      );
    },
    abort: (reason) => control.abort(reason),
  };
}
