import type { LoadedThread } from './loaded-thread.ts';

/** When a thread is replaced although nothing has happened to it. */
export type Wear = {
  /** Conversations; 0: any number. */
  readonly maxTasks: number;
  /** A thread whose heap is fuller than this will run out of memory some time. */
  readonly maxHeapBytes: number;
};

/** Share of its heap above which a thread is worn. At the whole of it, V8 ends the thread with what it holds. */
const wornShare = 0.8;
/** Share of its heap that must have come since its first scorings: a scorer may simply need that much. */
const grownShare = 0.1;

export function wearOf(maxTasks: number, threadMemoryMb: number): Wear {
  return { maxTasks, maxHeapBytes: threadMemoryMb * 1_024 * 1_024 * wornShare };
}

/** @returns why the thread should be replaced; null if it should not. */
export function wornBy(
  { scored, heapBytes, firstHeapBytes }: Pick<LoadedThread, 'scored' | 'heapBytes' | 'firstHeapBytes'>,
  { maxTasks, maxHeapBytes }: Wear,
): 'tasks' | 'heap' | null {
  if (maxTasks > 0 && scored >= maxTasks) return 'tasks';
  const grown = heapBytes - firstHeapBytes;
  return heapBytes >= maxHeapBytes && grown >= (maxHeapBytes / wornShare) * grownShare ? 'heap' : null;
}
