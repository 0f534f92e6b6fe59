import type { Entry, LoadedThread, LoadedThreadEvents } from './loaded-thread.ts';

/** Finds out which of several entries has ended a thread. */
type CulpritSearch = {
  /** Entries of which one has ended the thread that held them. */
  add(candidates: readonly Entry[]): void;
  /** Rejects all of them, aborts what runs, and ends its thread after `withinMs` at the latest. */
  close(reason: Error, withinMs: number): Promise<void>;
};

/** With four parts the one is found in fewer rounds than with two, and most of the others are scored only once more. */
const parts = 4;

/** Rounds that it takes to find one among so many. */
export function roundsFor(candidates: number): number {
  return Math.ceil(Math.log(Math.max(1, candidates)) / Math.log(parts));
}

/**
 * Scores candidates again in separate threads, a quarter of them in each, so that the threads of the pool go on
 * meanwhile. A part that ends its thread is split again, until the one that does it is alone and pays with its attempt.
 * Nobody else does.
 */
export function createCulpritSearch(options: {
  /** @returns null once nothing is to be started any more. */
  readonly start: (events: LoadedThreadEvents) => Promise<LoadedThread | null>;
  /** To be scored anywhere: they cannot have ended a thread. */
  readonly onInnocent: (entries: readonly Entry[]) => void;
}): CulpritSearch {
  const queued: (readonly Entry[])[] = [];
  /** Parts for which a thread is being started. */
  const starting = new Set<readonly Entry[]>();
  const threads = new Set<LoadedThread>();
  let working = 0;
  let closed: Error | null = null;

  /** As many parts at a time as one split makes: a round takes as long as one scoring. */
  function work(): void {
    while (working < parts && queued.length > 0) {
      const part = queued.shift() ?? [];
      working++;
      void scoreApart(part).then(() => {
        working--;
        work();
      });
    }
  }

  async function scoreApart(part: readonly Entry[]): Promise<void> {
    const over = Promise.withResolvers<void>();
    starting.add(part);
    const thread = await options.start({
      onScored: (_count, _eachMs, own) => own.held === 0 && over.resolve(),
      // The thread is ended after each part anyway.
      onOverdue: () => {},
      onLost(_own, lost) {
        split(lost.candidates);
        if (lost.innocent.length > 0) options.onInnocent(lost.innocent);
        over.resolve();
      },
    });
    const isWanted = starting.delete(part);
    if (thread === null) return;
    if (isWanted) {
      threads.add(thread);
      thread.give(part);
      await over.promise;
      threads.delete(thread);
    }
    void thread.end();
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
      work();
    },
    async close(reason, withinMs) {
      closed = reason;
      for (const part of [...queued.splice(0), ...starting]) reject(part);
      starting.clear();
      await Promise.all([...threads].map((thread) => thread.giveUp(reason, withinMs)));
      for (const thread of threads) void thread.end();
    },
  };
}
