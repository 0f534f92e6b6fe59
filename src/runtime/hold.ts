import { createBackoff, pause } from './wait.ts';

/**
 * How long work is held for a server that is away. Well below the broker's consumer timeout (30 min by default), after
 * which it would close the channel with everything on it.
 */
const holdMs = 10 * 60_000;

/**
 * Repeats `step` with growing delays (0.1 s to 5 s) as long as its errors pass by themselves.
 *
 * @throws the last error, when `mayPass` says no to it, `giveUp` fires, or it was held for ten minutes.
 */
export async function hold<T>(
  step: () => Promise<T>,
  options: {
    readonly mayPass: (error: unknown) => boolean;
    readonly giveUp: AbortSignal;
    readonly onWait: (error: unknown, waitMs: number) => void;
  },
): Promise<T> {
  const until = performance.now() + holdMs;
  const backoff = createBackoff(100, 5_000);
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!options.mayPass(error) || options.giveUp.aborted || performance.now() > until) throw error;
      const waitMs = backoff.next();
      options.onWait(error, waitMs);
      await pause(waitMs, options.giveUp);
    }
  }
}
