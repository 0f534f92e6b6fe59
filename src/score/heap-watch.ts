import { getHeapStatistics } from 'node:v8';
import { collectGarbage } from '../runtime/collect-garbage.ts';

/** A full collection of a large heap takes a tenth of a second. */
const collectAgainMs = 10_000;

/**
 * Measures the heap of the thread that it is called in. Below `alarmBytes` the figure includes garbage, which costs
 * nothing to know; above, only what survives a collection counts, so that garbage raises no alarm.
 *
 * @returns a function that returns the bytes in use, as far as they are known.
 */
export function createHeapWatch(alarmBytes: number, now: () => number = () => performance.now()): () => number {
  let collectedAt = Number.NEGATIVE_INFINITY;
  let known = 0;
  return () => {
    const used = getHeapStatistics().used_heap_size;
    if (used <= alarmBytes) known = used;
    else if (now() - collectedAt >= collectAgainMs) {
      collectGarbage();
      known = getHeapStatistics().used_heap_size;
      collectedAt = now();
    }
    return known;
  };
}
