/**
 * Where redelivered events run that were running when a process died: each may be the one that killed it. Events with
 * one such start run together, a quarter of the prefetch at a time; events with more run alone here. So if the process
 * dies again there are few suspects, and the next time only one.
 */
type Quarantine = {
  /**
   * Runs `work` when its turn comes, in the order of calls.
   * @param unfinishedStarts  starts of the event that never ended, at least 1.
   */
  run<T>(unfinishedStarts: number, work: () => Promise<T>): Promise<T>;
};

/** A quarter, so that a second crash makes at most that many innocent events run alone. */
const shareAtOnce = 1 / 4;

/** @param concurrency  the prefetch. */
export function createQuarantine(concurrency: number): Quarantine {
  const width = Math.max(1, Math.floor(concurrency * shareAtOnce));
  const waiting: { readonly places: number; readonly go: () => void }[] = [];
  let free = width;

  function next(): void {
    for (let first = waiting[0]; first !== undefined && first.places <= free; first = waiting[0]) {
      waiting.shift();
      free -= first.places;
      first.go();
    }
  }

  return {
    async run(unfinishedStarts, work) {
      const places = unfinishedStarts === 1 ? 1 : width;
      await new Promise<void>((go) => {
        waiting.push({ places, go });
        next();
      });
      try {
        return await work();
      } finally {
        free += places;
        next();
      }
    },
  };
}
