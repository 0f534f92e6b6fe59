import { getHeapStatistics } from 'node:v8';
import { collectGarbage } from '../runtime/collect-garbage.ts';

/** At most this share of a thread's time goes into collections that are made to measure, */
const collectionShare = 1 / 20;
/** but for a heap that is this many times as full as at the alarm: V8 is about to collect there in any case. */
const nearlyFull = 9 / 8;

/**
 * Measures the heap of the thread that it is called in. Below `alarmBytes` the figure includes garbage, which costs
 * nothing to know; above, only what survives a collection counts, so that garbage raises no alarm.
 *
 * @returns a function that returns the bytes in use, as far as they are known.
 */
export function createHeapWatch(
  alarmBytes: number,
  { now = () => performance.now(), used = usedHeap, collect = collectGarbage } = {},
): () => number {
  let collectAgainAt = Number.NEGATIVE_INFINITY;
  let known = 0;
  return () => {
    const bytes = used();
    const began = now();
    if (bytes <= alarmBytes) known = bytes;
    else if (began >= collectAgainAt || bytes >= alarmBytes * nearlyFull) {
      collect();
      known = used();
      const ended = now();
      collectAgainAt = ended + (ended - began) / collectionShare;
    }
    return known;
  };
}

function usedHeap(): number {
  return getHeapStatistics().used_heap_size;
}
