import { PipelineError } from '../../event/fault.ts';
import { msSince, telemetry } from '../telemetry.ts';
import { type BatchLimits, batchSize } from './batch.ts';
import { createLinger, type LingerPolicy } from './linger.ts';

/**
 * Gathers concurrent submissions into batches: while one batch commits, the next one gathers, and a lone submission
 * does not wait for others. A database commits fifty rows about as fast as one.
 *
 * An item is first waiting, then committing, then answered:
 *
 * 1. It is in `waiting` or in one batch, never in both.
 * 2. At most `maxInFlight` batches commit at once, each within `batch`'s limits.
 * 3. It is answered exactly once: by its batch, or at its deadline.
 * 4. At most `maxQueued` items wait.
 */
type GroupCommit<T, R> = {
  /**
   * @param deadlineMs  time after which the promise rejects (transient, `DEADLINE`). An item that is still waiting is
   *   removed and never commits; one that is in a running batch may still commit.
   * @throws {PipelineError} transient, `OVERLOADED`, if `maxQueued` items are already waiting.
   */
  submit(item: T, deadlineMs?: number): Promise<R>;
  /** Resolves when no item is waiting or committing. Submissions are still accepted. */
  idle(): Promise<void>;
  /** Number of items that are waiting for a batch. */
  readonly queued: number;
};

type GroupCommitOptions<T, R> = {
  /** Of the group, for metrics. */
  readonly name: string;
  /** Commits a batch and answers for each item, in order. A rejection applies to every item in the batch. */
  readonly commit: (items: readonly T[]) => Promise<readonly PromiseSettledResult<R>[]>;
  readonly batch: BatchLimits<T>;
  readonly maxInFlight: number;
  /**
   * How many items a batch needs to start while another one is committing. Default 1. A small batch costs nearly as
   * much as a large one; waiting for the other to end makes it larger.
   */
  readonly furtherFrom?: number;
  /** Default: a batch never waits for more items. */
  readonly linger?: LingerPolicy<T>;
  readonly maxQueued: number;
};

type Entry<T, R> = {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
};

/** Far longer than a normal commit, far shorter than a person notices. */
const lateAfterMs = 50;

export function createGroupCommit<T, R>(options: GroupCommitOptions<T, R>): GroupCommit<T, R> {
  // A Set keeps the order, and removes an expired item without a scan.
  const waiting = new Set<Entry<T, R>>();
  const inFlight = { batches: 0, items: 0, /** Batches that take longer than `lateAfterMs`. */ late: 0 };
  const linger = options.linger && createLinger(options.linger, wake);
  const idleWaiters: (() => void)[] = [];
  let isWoken = false;

  /** Starts batches at the end of this turn of the event loop, so that items from one socket read share a batch. */
  function wake(): void {
    if (isWoken || !mayStart()) return;
    isWoken = true;
    setImmediate(() => {
      isWoken = false;
      if (mayStart() && !isLingering()) startBatches();
      notifyIdle();
    });
  }

  /** Invariant 2. */
  function mayStart(): boolean {
    // While a batch hangs, the next one should not wait for more items.
    const needed = inFlight.batches === 0 || inFlight.late > 0 ? 1 : (options.furtherFrom ?? 1);
    return inFlight.batches < options.maxInFlight && waiting.size >= needed;
  }

  function isLingering(): boolean {
    const [first] = waiting;
    if (linger === undefined || first === undefined || waiting.size >= options.batch.maxItems) return false;
    return linger.shouldWait(first.item, waiting.size, inFlight.items);
  }

  function startBatches(): void {
    linger?.reset();
    while (mayStart()) void run(takeBatch());
  }

  /** Invariant 1. */
  function takeBatch(): readonly Entry<T, R>[] {
    const size = batchSize(
      waiting.values().map((entry) => entry.item),
      options.batch,
    );
    const batch = [...waiting.values().take(size)];
    for (const entry of batch) waiting.delete(entry);
    return batch;
  }

  async function run(batch: readonly Entry<T, R>[]): Promise<void> {
    inFlight.batches++;
    inFlight.items += batch.length;
    const endsInTime = watchLateness();
    const began = performance.now();
    let ok = false;
    try {
      const results = await options.commit(batch.map((entry) => entry.item));
      ok = true;
      for (const [i, entry] of batch.entries()) answer(entry, results[i]);
    } catch (error) {
      for (const entry of batch) entry.reject(error);
    } finally {
      inFlight.batches--;
      inFlight.items -= batch.length;
      endsInTime();
      telemetry.committed.tell({ group: options.name, items: batch.length, ms: msSince(began), ok });
      wake();
      notifyIdle();
    }
  }

  /** Counts a batch as late after `lateAfterMs`. @returns a function to call when it has ended. */
  function watchLateness(): () => void {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      inFlight.late++;
      wake();
    }, lateAfterMs);
    return () => {
      clearTimeout(timer);
      if (isLate) inFlight.late--;
    };
  }

  function notifyIdle(): void {
    if (inFlight.batches > 0 || waiting.size > 0) return;
    for (const resolve of idleWaiters.splice(0)) resolve();
  }

  return {
    submit(item, deadlineMs) {
      if (waiting.size >= options.maxQueued) {
        return Promise.reject(new PipelineError('transient', 'OVERLOADED', `${waiting.size} items wait already`));
      }
      return new Promise<R>((resolve, reject) => {
        const timer =
          deadlineMs === undefined
            ? undefined
            : setTimeout(() => {
                waiting.delete(entry);
                reject(new PipelineError('transient', 'DEADLINE', `no commit within ${deadlineMs} ms`));
              }, deadlineMs);
        const entry: Entry<T, R> = {
          item,
          resolve: (result) => {
            clearTimeout(timer);
            resolve(result);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        };
        waiting.add(entry);
        wake();
      });
    },
    idle() {
      if (inFlight.batches === 0 && waiting.size === 0) return Promise.resolve();
      return new Promise((resolve) => idleWaiters.push(resolve));
    },
    get queued() {
      return waiting.size;
    },
  };
}

function answer<T, R>(entry: Entry<T, R>, result: PromiseSettledResult<R> | undefined): void {
  if (result?.status === 'fulfilled') entry.resolve(result.value);
  else entry.reject(result?.reason ?? new PipelineError('bug', 'NO_ANSWER', 'the batch did not answer for an item'));
}
