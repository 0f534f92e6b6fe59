import { PipelineError } from '../event/fault.ts';

/**
 * Gathers concurrent submissions into batches: while one batch commits the next one gathers,
 * and a lone submission waits for nobody. A database commits fifty rows about as fast as one.
 *
 * What is waiting is bounded by `maxQueued`; a submission beyond it fails at once (transient, `OVERLOADED`).
 */
export type GroupCommit<T, R> = {
  /**
   * @param deadlineMs  after that the promise rejects (transient, `DEADLINE`); an item that still waits is taken
   *                    out and never commits, one that is in a running batch may commit all the same.
   */
  submit(item: T, deadlineMs?: number): Promise<R>;
  /** Resolves when nothing waits and nothing commits. Submissions are still taken. */
  idle(): Promise<void>;
  readonly queued: number;
};

export type GroupCommitOptions<T, R> = {
  /** Commits a batch and answers for each item, in order. A rejection is everybody's. */
  readonly commit: (items: readonly T[]) => Promise<readonly PromiseSettledResult<R>[]>;
  readonly maxItems: number;
  /** Most bytes (or whatever `weigh` counts) of one batch; a heavier single item goes alone. */
  readonly maxWeight?: number;
  readonly weigh?: (item: T) => number;
  /** Sizes that a batch may have, ascending from 1; the largest that is full is taken. Default: any up to `maxItems`. */
  readonly sizes?: readonly number[];
  readonly maxInFlight: number;
  /**
   * How many must wait for a batch to start beside one that is under way (default 1). A small batch costs nearly what a large one does:
   * one that waits for the other to end is larger.
   */
  readonly furtherFrom?: number;
  /**
   * Items that will have to be committed soon, those submitted included. When items come so slowly that each would be committed alone,
   * a batch then gathers until as many wait as are still to come, at most `lingerMs` of its first item.
   */
  readonly expected?: () => number;
  readonly lingerMs?: (item: T) => number;
  readonly maxQueued: number;
};

type Waiting<T, R> = {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
};

export function createGroupCommit<T, R>(options: GroupCommitOptions<T, R>): GroupCommit<T, R> {
  // A Set keeps order and gives up an expired item without a scan.
  const waiting = new Set<Waiting<T, R>>();
  const idleWaiters: (() => void)[] = [];
  let inFlight = 0;
  let committing = 0;
  let scheduled = false;
  /** Runs from the first item that had to linger. */
  let linger: NodeJS.Timeout | undefined;
  let lingered = false;
  const gapMs = createAverage();
  const commitMs = createAverage();
  let submittedAt = performance.now();

  function schedule(): void {
    if (scheduled || !mayStart()) return;
    if (!lingered && moreToCome()) {
      startLinger();
      return;
    }
    scheduled = true;
    clearTimeout(linger);
    linger = undefined;
    lingered = false;
    // One turn of the event loop: what arrives in the same read of a socket travels together.
    setImmediate(() => {
      scheduled = false;
      while (mayStart()) void run(takeBatch());
      notifyIdle();
    });
  }

  function mayStart(): boolean {
    return inFlight < options.maxInFlight && waiting.size >= (inFlight === 0 ? 1 : (options.furtherFrom ?? 1));
  }

  function startLinger(): void {
    const [first] = waiting;
    if (linger !== undefined || first === undefined) return;
    linger = setTimeout(() => {
      lingered = true;
      schedule();
    }, options.lingerMs?.(first.item));
  }

  function moreToCome(): boolean {
    if (options.expected === undefined) return false;
    // Two or more come while one batch commits: they gather by themselves, and lingering would only leave the database idle.
    if (gapMs.value < commitMs.value / 2) return false;
    return waiting.size < options.maxItems && options.expected() - committing - waiting.size > waiting.size;
  }

  function takeBatch(): Waiting<T, R>[] {
    const batch: Waiting<T, R>[] = [];
    const size = batchSize(waiting.size);
    let weight = 0;
    for (const entry of waiting) {
      weight += options.weigh?.(entry.item) ?? 0;
      if (batch.length > 0 && weight > (options.maxWeight ?? Number.POSITIVE_INFINITY)) break;
      batch.push(entry);
      waiting.delete(entry);
      if (batch.length >= size) break;
    }
    return batch;
  }

  function batchSize(ready: number): number {
    return options.sizes?.findLast((size) => size <= ready) ?? Math.min(ready, options.maxItems);
  }

  async function run(batch: readonly Waiting<T, R>[]): Promise<void> {
    inFlight++;
    committing += batch.length;
    const began = performance.now();
    try {
      const results = await options.commit(batch.map((entry) => entry.item));
      for (const [i, entry] of batch.entries()) {
        const result = results[i];
        if (result?.status === 'fulfilled') entry.resolve(result.value);
        else entry.reject(result?.reason ?? new PipelineError('bug', 'NO_ANSWER', 'the batch did not answer for an item'));
      }
    } catch (error) {
      for (const entry of batch) entry.reject(error);
    } finally {
      inFlight--;
      committing -= batch.length;
      commitMs.add(performance.now() - began);
      schedule();
      notifyIdle();
    }
  }

  function notifyIdle(): void {
    if (inFlight > 0 || waiting.size > 0) return;
    for (const resolve of idleWaiters.splice(0)) resolve();
  }

  return {
    submit(item, deadlineMs) {
      if (waiting.size >= options.maxQueued) {
        return Promise.reject(new PipelineError('transient', 'OVERLOADED', `${waiting.size} items wait already`));
      }
      return new Promise<R>((resolve, reject) => {
        let timer: NodeJS.Timeout | undefined;
        const entry: Waiting<T, R> = {
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
        if (deadlineMs !== undefined) {
          timer = setTimeout(() => {
            waiting.delete(entry);
            reject(new PipelineError('transient', 'DEADLINE', `no commit within ${deadlineMs} ms`));
          }, deadlineMs);
        }
        waiting.add(entry);
        const now = performance.now();
        gapMs.add(now - submittedAt);
        submittedAt = now;
        schedule();
      });
    },
    idle() {
      if (inFlight === 0 && waiting.size === 0) return Promise.resolve();
      return new Promise((resolve) => idleWaiters.push(resolve));
    },
    get queued() {
      return waiting.size;
    },
  };
}

/** Of the last ten or so. */
function createAverage() {
  let value = 0;
  return {
    get value() {
      return value;
    },
    add(next: number): void {
      value += (next - value) / 10;
    },
  };
}
