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
  /**
   * Sizes that a batch may have, ascending from 1; the largest that is full is taken. Default: whatever waits, up to
   * `maxItems`.
   */
  readonly sizes?: readonly number[];
  readonly maxInFlight: number;
  /**
   * How many must wait for a batch to start beside one that is under way (default 1). A small batch costs nearly what a
   * large one does: one that waits for the other to end is larger.
   */
  readonly furtherFrom?: number;
  /**
   * Items that will have to be committed soon, those submitted included; none if a batch should not wait for them. A
   * batch otherwise gathers until as many wait as are still to come, at most `lingerMs` of its first item.
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

/** Far above a commit that goes well, far below what a person notices. */
const lateAfterMs = 50;

export function createGroupCommit<T, R>(options: GroupCommitOptions<T, R>): GroupCommit<T, R> {
  // A Set keeps order and gives up an expired item without a scan.
  const waiting = new Set<Waiting<T, R>>();
  const idleWaiters: (() => void)[] = [];
  let inFlight = 0;
  let committing = 0;
  /** Batches under way that take longer than `lateAfterMs`. */
  let late = 0;
  let scheduled = false;
  /** Runs from the first item that had to linger. */
  let linger: NodeJS.Timeout | undefined;
  let lingered = false;

  function schedule(): void {
    if (scheduled || !mayStart()) return;
    scheduled = true;
    // One turn of the event loop: what arrives in the same read of a socket travels together, and what a commit has
    // just answered is no longer expected.
    setImmediate(() => {
      scheduled = false;
      if (mayStart() && !lingered && moreToCome()) startLinger();
      else startBatches();
      notifyIdle();
    });
  }

  function startBatches(): void {
    if (!mayStart()) return;
    clearTimeout(linger);
    linger = undefined;
    lingered = false;
    while (mayStart()) void run(takeBatch());
  }

  function mayStart(): boolean {
    // Beside a batch that hangs nobody should wait for company.
    const needed = inFlight === 0 || late > 0 ? 1 : (options.furtherFrom ?? 1);
    return inFlight < options.maxInFlight && waiting.size >= needed;
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
    return waiting.size < options.maxItems && options.expected() - committing - waiting.size > waiting.size;
  }

  function takeBatch(): Waiting<T, R>[] {
    const fitting: Waiting<T, R>[] = [];
    let weight = 0;
    for (const entry of waiting) {
      weight += options.weigh?.(entry.item) ?? 0;
      if (fitting.length > 0 && weight > (options.maxWeight ?? Number.POSITIVE_INFINITY)) break;
      fitting.push(entry);
      if (fitting.length >= options.maxItems) break;
    }
    const size = options.sizes?.findLast((n) => n <= fitting.length) ?? fitting.length;
    const batch = fitting.slice(0, size);
    for (const entry of batch) waiting.delete(entry);
    return batch;
  }

  async function run(batch: readonly Waiting<T, R>[]): Promise<void> {
    inFlight++;
    committing += batch.length;
    let isLate = false;
    const patience = setTimeout(() => {
      isLate = true;
      late++;
      schedule();
    }, lateAfterMs);
    try {
      const results = await options.commit(batch.map((entry) => entry.item));
      for (const [i, entry] of batch.entries()) {
        const result = results[i];
        if (result?.status === 'fulfilled') entry.resolve(result.value);
        else
          entry.reject(result?.reason ?? new PipelineError('bug', 'NO_ANSWER', 'the batch did not answer for an item'));
      }
    } catch (error) {
      for (const entry of batch) entry.reject(error);
    } finally {
      inFlight--;
      committing -= batch.length;
      clearTimeout(patience);
      if (isLate) late--;
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
