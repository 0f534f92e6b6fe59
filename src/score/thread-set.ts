import { AsyncLocalStorage } from 'node:async_hooks';
import type { Logger } from '../runtime/log.ts';
import { toMib } from '../runtime/mib.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';
import { createCulpritSearch } from './culprit-search.ts';
import { type Entry, type LoadedThread, type LoadedThreadEvents, startLoadedThread } from './loaded-thread.ts';
import type { StartThread } from './thread.ts';
import { type Wear, wornBy } from './wear.ts';

/** The threads of a pool: a fixed number of them, each replaced when it is lost or must end. */
type ThreadSet = {
  /** Threads that may be given work. Fewer than `count` while one is being replaced. */
  readonly ready: ReadonlySet<LoadedThread>;
  /**
   * Replaces every thread, to give back the memory that they have gathered. What they hold is finished, and a successor
   * is started when its predecessor has ended.
   */
  renew(): void;
  /** Rejects and aborts everything that the threads hold, and ends them. */
  close(reason: Error): Promise<void>;
};

/** How long scorings may take to notice that the worker gives up, milliseconds. */
const giveUpMs = 250;
/** How long `close` waits for threads to end. One that runs native code cannot be interrupted. */
const endMs = 1_000;
/** There may be this many times `count` threads, including those that are ending. */
const mostTimes = 2;
/** After the loss of a thread that lived this long, the start delay begins again from the shortest. */
const stableMs = 10_000;

/**
 * Starts `count` threads. One whose scoring ignores its abort is replaced at once, and ended when it holds nothing
 * more; so is a worn one. Including the threads that have not ended yet, there are never more than twice `count`.
 *
 * @throws if the first threads cannot be started. Later, a failed start is retried with growing delays.
 */
export async function startThreadSet(options: {
  readonly count: number;
  readonly startThread: StartThread;
  readonly wear: Wear;
  /** Cancels the start of the first threads. */
  readonly stop: AbortSignal;
  /** Called when a thread may take more, or a new one is ready. */
  readonly onRoom: () => void;
  readonly onScored: LoadedThreadEvents['onScored'];
  /** Called with entries that a lost thread held; they are to be scored again, before others. */
  readonly onReturned: (entries: readonly Entry[]) => void;
  readonly log: Logger;
}): Promise<ThreadSet> {
  const { count, log } = options;
  const ready = new Set<LoadedThread>();
  /** They get nothing more, but still hold something. */
  const leaving = new Set<LoadedThread>();
  /**
   * Number of threads that are ending. One that is in native code, such as a synchronous child process, ends only when
   * that returns.
   */
  let ending = 0;
  let starting = 0;
  let isSucceeding = false;
  /** Threads are being replaced for their memory: a successor must wait until its predecessor has ended. */
  let isRenewing = false;
  /** Threads outlive the attempt that made one necessary: their log lines must not carry its ids. */
  const outside = AsyncLocalStorage.snapshot();
  /**
   * Delays the replacement of threads that are lost while they hold nothing: their scorer ends them on its own,
   * whatever it is given.
   */
  const idleLosses = createBackoff(200, 10_000);
  const closing = new AbortController();
  const search = createCulpritSearch({ start: startPatiently, onInnocent: options.onReturned });

  const events: LoadedThreadEvents = {
    onScored(n, eachMs, thread) {
      options.onScored(n, eachMs, thread);
      if (leaving.has(thread) && thread.held === 0) dismiss(thread);
      else if (ready.has(thread)) giveWayIfWorn(thread);
      options.onRoom();
    },
    onOverdue(thread) {
      if (!leave(thread, 'overdue')) return;
      log.warn(
        { held: thread.held },
        'a scoring ignored its abort; its thread is replaced, and ends when its other scorings have finished',
      );
      fillUp();
    },
    onLost(thread, { candidates, innocent, held, hung, code, livedMs }) {
      ready.delete(thread);
      leaving.delete(thread);
      telemetry.threadReplaced.tell({ reason: 'lost' });
      if (livedMs > stableMs) idleLosses.reset();
      const waitMs = held === 0 ? idleLosses.next() : 0;
      log.warn({ held, hung, code, waitMs }, 'a scoring thread has ended; it is replaced');
      if (innocent.length > 0) options.onReturned(innocent);
      if (candidates.length > 0) search.add(candidates);
      end(thread);
      fillUp(waitMs);
    },
  };

  /** It gets nothing more. @returns false if it was leaving already. */
  function leave(thread: LoadedThread, reason: 'overdue' | 'tasks' | 'heap' | 'memory'): boolean {
    if (!ready.delete(thread)) return false;
    telemetry.threadReplaced.tell({ reason });
    leaving.add(thread);
    if (thread.held === 0) dismiss(thread);
    return true;
  }

  function giveWayIfWorn(thread: LoadedThread): void {
    const reason = wornBy(thread, options.wear);
    if (reason === null || closing.signal.aborted || total() >= bound()) return;
    if (reason === 'tasks') return void succeed(thread);
    // At once: what it is given until a successor is ready could be what it has no memory for.
    noteWorn(thread, reason);
    leave(thread, reason);
    fillUp();
  }

  /** Threads that have reached `THREAD_MAX_TASKS` give way one at a time, each when its successor is ready. */
  async function succeed(thread: LoadedThread): Promise<void> {
    if (isSucceeding) return;
    isSucceeding = true;
    starting++;
    const successor = await startPatiently(events);
    starting--;
    isSucceeding = false;
    if (successor === null) return;
    if (closing.signal.aborted) {
      void successor.end();
      return;
    }
    noteWorn(thread, 'tasks');
    ready.add(successor);
    leave(thread, 'tasks');
    fillUp();
    options.onRoom();
  }

  function noteWorn(thread: LoadedThread, reason: 'tasks' | 'heap'): void {
    const { scored, heapBytes } = thread;
    log.info({ reason, scored, heapMb: toMib(heapBytes) }, 'a worn scoring thread is replaced');
  }

  function dismiss(thread: LoadedThread): void {
    leaving.delete(thread);
    end(thread);
    fillUp();
  }

  function end(thread: LoadedThread): void {
    ending++;
    void thread.end().then(() => {
      ending--;
      fillUp();
    });
  }

  function total(): number {
    return ready.size + starting + leaving.size + ending;
  }

  function bound(): number {
    if (leaving.size === 0 && ending === 0) isRenewing = false;
    return isRenewing ? count : mostTimes * count;
  }

  function fillUp(waitMs = 0): void {
    while (!closing.signal.aborted && ready.size + starting < count && total() < bound()) {
      starting++;
      void startPatiently(events, waitMs).then((thread) => {
        starting--;
        if (thread === null) return;
        if (closing.signal.aborted) {
          void thread.end();
          return;
        }
        ready.add(thread);
        options.onRoom();
      });
    }
  }

  /** Retries until a thread has started. @returns null once the set is being closed. */
  async function startPatiently(of: LoadedThreadEvents, waitMs = 0): Promise<LoadedThread | null> {
    const backoff = createBackoff(100, 5_000);
    if (waitMs > 0) await pause(waitMs, closing.signal);
    while (!closing.signal.aborted) {
      try {
        const thread = await outside(() => startLoadedThread(options.startThread, of, closing.signal));
        if (!closing.signal.aborted) return thread;
        void thread.end();
      } catch (error) {
        if (closing.signal.aborted) break;
        const againMs = backoff.next();
        log.error({ err: error, waitMs: againMs }, 'a scoring thread cannot be started; trying again');
        await pause(againMs, closing.signal);
      }
    }
    return null;
  }

  const first = await Promise.allSettled(
    Array.from({ length: count }, () => startLoadedThread(options.startThread, events, options.stop)),
  );
  for (const start of first) if (start.status === 'fulfilled') ready.add(start.value);
  const failed = first.find((start) => start.status === 'rejected');
  if (failed !== undefined) {
    for (const thread of ready) void thread.end();
    throw failed.reason;
  }
  return {
    ready,
    renew() {
      isRenewing = true;
      for (const thread of [...ready]) leave(thread, 'memory');
      fillUp();
    },
    async close(reason) {
      closing.abort();
      const threads = [...ready, ...leaving];
      ready.clear();
      leaving.clear();
      await Promise.all([search.close(reason, giveUpMs), ...threads.map((thread) => thread.giveUp(reason, giveUpMs))]);
      await settlesWithin(Promise.all(threads.map((thread) => thread.end())), endMs);
    },
  };
}
