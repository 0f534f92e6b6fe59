import { createBackoff, pause } from './wait.ts';

/**
 * How long work is held while a server is away. Well below the broker's consumer timeout (30 min by default), after
 * which the broker would close the channel and requeue all its deliveries.
 */
const holdMs = 10 * 60_000;

/**
 * Repeats `step` with growing delays (0.1 s to 5 s) while it fails with errors that may pass.
 *
 * @throws the last error, if `mayPass` rejects it, `giveUp` fires, or ten minutes are over.
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
