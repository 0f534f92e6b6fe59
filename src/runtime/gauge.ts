import type { Logger } from './log.ts';

/** Something that fills up: what it holds, and where it stops taking more. docs/bounds.md says what happens then. */
export type Gauge = { readonly name: string; readonly bound: number; readonly held: () => number };

const lookMs = 10_000;
const nearlyFull = 0.8;

/** Says so, every ten seconds, while something is nearly full. @returns a function that ends it. */
export function warnWhenNearlyFull(gauges: readonly Gauge[], log: Logger): () => void {
  const timer = setInterval(() => {
    for (const { name, bound, held } of gauges) {
      if (held() >= bound * nearlyFull)
        log.warn({ queue: name, held: held(), bound }, 'nearly full (docs/bounds.md says what happens at the bound)');
    }
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}
