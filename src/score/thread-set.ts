import type { Logger } from '../runtime/log.ts';
import { createBackoff, pause } from '../runtime/wait.ts';
import { createCulpritSearch } from './culprit-search.ts';
import { type Entry, type LoadedThread, type LoadedThreadEvents, startLoadedThread } from './loaded-thread.ts';
import type { StartThread } from './thread.ts';

/** The threads of a pool: as many as were asked for, replaced when one is lost or has to go. */
type ThreadSet = {
  /** Those that may be given work. Fewer than were asked for while one is being replaced. */
  readonly ready: ReadonlySet<LoadedThread>;
  /** Rejects what any thread holds, aborts it, and ends all of them. */
  close(reason: Error): Promise<void>;
};

/** How long scorings may take to notice that the worker gives up, milliseconds. */
const giveUpMs = 250;

/**
 * Starts `count` threads. One whose scoring ignores its abort is replaced at once, and ended when it holds nothing more; there are never more
 * than twice `count` because of that.
 *
 * @throws if the first threads cannot be started. One that cannot be replaced later is tried again, with growing delays.
 */
export async function startThreadSet(options: {
  readonly count: number;
  readonly startThread: StartThread;
  /** A thread may take more, or is ready. */
  readonly onRoom: () => void;
  readonly onScored: LoadedThreadEvents['onScored'];
  /** To be scored again, before others: a lost thread held them. */
  readonly onReturned: (entries: readonly Entry[]) => void;
  readonly log: Logger;
}): Promise<ThreadSet> {
  const { count, log } = options;
  const ready = new Set<LoadedThread>();
  /** Given nothing more; they still hold something. */
  const leaving = new Set<LoadedThread>();
  let starting = 0;
  const closing = new AbortController();
  const search = createCulpritSearch({ start: startPatiently, onInnocent: options.onReturned });

  const events: LoadedThreadEvents = {
    onScored(n, eachMs, thread) {
      options.onScored(n, eachMs, thread);
      if (leaving.has(thread) && thread.held === 0) dismiss(thread);
      options.onRoom();
    },
    onOverdue(thread) {
      if (!ready.delete(thread)) return;
      log.warn({ held: thread.held }, 'a scoring ignored its abort; its thread is replaced, and ends when the others in it have finished');
      leaving.add(thread);
      if (thread.held === 0) dismiss(thread);
      fillUp();
    },
    onLost(thread, left) {
      ready.delete(thread);
      leaving.delete(thread);
      if (left.innocent.length > 0) options.onReturned(left.innocent);
      if (left.candidates.length > 0) search.add(left.candidates);
      fillUp();
    },
  };

  function dismiss(thread: LoadedThread): void {
    leaving.delete(thread);
    void thread.end();
    fillUp();
  }

  function fillUp(): void {
    while (!closing.signal.aborted && ready.size + starting < count && ready.size + starting + leaving.size < 2 * count) {
      starting++;
      void startPatiently(events).then((thread) => {
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

  /** @returns null once the set is being closed. */
  async function startPatiently(of: LoadedThreadEvents): Promise<LoadedThread | null> {
    const backoff = createBackoff(100, 5_000);
    while (!closing.signal.aborted) {
      try {
        const thread = await startLoadedThread(options.startThread, of);
        if (!closing.signal.aborted) return thread;
        await thread.end();
      } catch (error) {
        const waitMs = backoff.next();
        log.error({ err: error, waitMs }, 'a scoring thread cannot be started; trying again');
        await pause(waitMs, closing.signal);
      }
    }
    return null;
  }

  const first = await Promise.allSettled(Array.from({ length: count }, () => startLoadedThread(options.startThread, events)));
  for (const start of first) if (start.status === 'fulfilled') ready.add(start.value);
  const failed = first.find((start) => start.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all([...ready].map((thread) => thread.end()));
    throw failed.reason;
  }
  return {
    ready,
    async close(reason) {
      closing.abort();
      const threads = [...ready, ...leaving];
      ready.clear();
      leaving.clear();
      await Promise.all([search.close(reason, giveUpMs), ...threads.map((thread) => thread.giveUp(reason, giveUpMs))]);
      await Promise.all(threads.map((thread) => thread.end()));
    },
  };
}
