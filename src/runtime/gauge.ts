import type { Logger } from './log.ts';

/** The fill level of a bounded queue: what it holds, and its bound. docs/bounds.md says what happens at the bound. */
export type Gauge = { readonly name: string; readonly bound: number; readonly held: () => number };

const lookMs = 10_000;
const nearlyFull = 0.8;

/** Logs a warning every ten seconds while a queue is nearly full. @returns a function that stops this. */
export function warnWhenNearlyFull(gauges: readonly Gauge[], log: Logger): () => void {
  const timer = setInterval(() => {
    for (const { name, bound, held } of gauges) {
      if (held() >= bound * nearlyFull)
        log.warn(
          { queue: name, held: held(), bound },
          'queue nearly full (docs/bounds.md says what happens at the bound)',
        );
    }
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}
