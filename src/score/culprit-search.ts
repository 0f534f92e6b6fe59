import type { Entry, LoadedThread, LoadedThreadEvents } from './loaded-thread.ts';

/** Finds out which of several entries has ended a thread. */
type CulpritSearch = {
  /** Entries of which one has ended the thread that held them. */
  add(candidates: readonly Entry[]): void;
  /** Rejects all of them, aborts what runs, and ends its thread after `withinMs` at the latest. */
  close(reason: Error, withinMs: number): Promise<void>;
};

/** With four parts the one is found in less time than with two, and most of the others are scored only once more. */
const parts = 4;

/**
 * Scores candidates again in a separate thread, a quarter of them at a time, so that the threads of the pool go on meanwhile. A part that ends its
 * thread is split again, until the one that does it is alone and pays with its attempt. Nobody else does.
 */
export function createCulpritSearch(options: {
  /** @returns null once nothing is to be started any more. */
  readonly start: (events: LoadedThreadEvents) => Promise<LoadedThread | null>;
  /** To be scored anywhere: they cannot have ended a thread. */
  readonly onInnocent: (entries: readonly Entry[]) => void;
}): CulpritSearch {
  const queued: (readonly Entry[])[] = [];
  let isWorking = false;
  let current: LoadedThread | null = null;
  let closed: Error | null = null;

  async function work(): Promise<void> {
    if (isWorking) return;
    isWorking = true;
    for (let part = queued.shift(); part !== undefined; part = queued.shift()) await scoreApart(part);
    isWorking = false;
  }

  async function scoreApart(part: readonly Entry[]): Promise<void> {
    const over = Promise.withResolvers<void>();
    const thread = await options.start({
      onScored: (_count, _eachMs, own) => own.held === 0 && over.resolve(),
      // The thread is ended after each part anyway.
      onOverdue: () => {},
      onLost(_own, left) {
        split(left.candidates);
        if (left.innocent.length > 0) options.onInnocent(left.innocent);
        over.resolve();
      },
    });
    if (thread === null || closed !== null) {
      reject(part);
      await thread?.end();
      return;
    }
    current = thread;
    thread.give(part);
    await over.promise;
    current = null;
    await thread.end();
  }

  function split(candidates: readonly Entry[]): void {
    const size = Math.ceil(candidates.length / parts);
    for (let from = 0; from < candidates.length; from += size) queued.push(candidates.slice(from, from + size));
  }

  function reject(entries: readonly Entry[]): void {
    for (const entry of entries) entry.reject(closed);
  }

  return {
    add(candidates) {
      if (closed !== null) return reject(candidates);
      split(candidates);
      void work();
    },
    async close(reason, withinMs) {
      closed = reason;
      for (const part of queued.splice(0)) reject(part);
      await current?.giveUp(reason, withinMs);
      await current?.end();
    },
  };
}
