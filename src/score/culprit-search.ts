import type { Entry, LoadedThread, LoadedThreadEvents } from './loaded-thread.ts';

/** Finds out which of several entries ended a thread. */
type CulpritSearch = {
  /** Adds entries of which one has ended the thread that held them. */
  add(candidates: readonly Entry[]): void;
  /** Rejects all entries, aborts those that run, and ends their threads after `withinMs` at the latest. */
  close(reason: Error, withinMs: number): Promise<void>;
};

/** Four parts need fewer rounds than two, and most of the other entries are scored only once more. */
const parts = 4;

/** Rounds that it takes to find one among `candidates` entries. */
export function roundsFor(candidates: number): number {
  return Math.ceil(Math.log(Math.max(1, candidates)) / Math.log(parts));
}

/**
 * Scores the candidates again in separate threads, a quarter of them in each, while the pool's threads go on working. A
 * part that ends its thread is split again, until the culprit is alone. Only the culprit loses its attempt.
 */
export function createCulpritSearch(options: {
  /** @returns null once no more threads are to be started. */
  readonly start: (events: LoadedThreadEvents) => Promise<LoadedThread | null>;
  /** Called with entries that cannot have ended a thread, and may be scored anywhere. */
  readonly onInnocent: (entries: readonly Entry[]) => void;
}): CulpritSearch {
  const queued: (readonly Entry[])[] = [];
  /** Parts for which a thread is being started. */
  const starting = new Set<readonly Entry[]>();
  const threads = new Set<LoadedThread>();
  let working = 0;
  let closed: Error | null = null;

  /** Works on as many parts at a time as one split makes, so that a round takes as long as one scoring. */
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
