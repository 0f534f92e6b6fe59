/**
 * What a scoring thread reports to the process through shared memory, which can be read even while the thread's event
 * loop is blocked: whether the loop turns, how many scorings have begun, whether the scorer's code is running, and how
 * much of its heap is in use.
 */
const beats = 0;
const begun = 1;
const running = 2;
const heapKib = 3;
const fields = 4;

export type ThreadSigns = Int32Array<SharedArrayBuffer>;

export function createSigns(): ThreadSigns {
  return new Int32Array(new SharedArrayBuffer(fields * Int32Array.BYTES_PER_ELEMENT));
}

/** In the thread: its event loop turns. */
export function showBeat(signs: ThreadSigns): void {
  Atomics.add(signs, beats, 1);
}

/** In the thread: the scorer is about to be called for the next item. */
export function showBegin(signs: ThreadSigns): void {
  Atomics.store(signs, running, 1);
  Atomics.add(signs, begun, 1);
  Atomics.add(signs, beats, 1);
}

/** In the thread: the call has returned, with a score or with a promise of one. */
export function showReturn(signs: ThreadSigns): void {
  Atomics.store(signs, running, 0);
}

/** In the thread: bytes of its heap that are in use. */
export function showHeap(signs: ThreadSigns, bytes: number): void {
  Atomics.store(signs, heapKib, bytes / 1_024);
}

/** @returns bytes of its heap that were in use when the thread last looked; 0 before it has. */
export function readHeap(signs: ThreadSigns): number {
  return Atomics.load(signs, heapKib) * 1_024;
}

/** @returns a number that keeps changing while the thread's event loop turns or scorings begin. */
export function readBeats(signs: ThreadSigns): number {
  return Atomics.load(signs, beats);
}

/** @returns how many scorings have begun since the thread was started, counted in 32 bits. */
export function readBegun(signs: ThreadSigns): number {
  return Atomics.load(signs, begun);
}

/**
 * @returns whether the scorer's call for the item that was begun last has not returned. Code that a scorer runs after
 * an `await` cannot be attributed to its item.
 */
export function readRunning(signs: ThreadSigns): boolean {
  return Atomics.load(signs, running) !== 0;
}
