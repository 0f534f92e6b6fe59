/**
 * Runs redelivered events that were running when their process died. Those with one such start run together, at most a
 * quarter of the prefetch at a time; those with more run alone in the lane. So if the process dies again there are few
 * suspects, and the next time only one.
 */
type SuspectLane = {
  /**
   * Runs `work` when its turn comes, in the order of calls.
   * @param unfinished  number of starts that never ended, at least 1.
   */
  run<T>(unfinished: number, work: () => Promise<T>): Promise<T>;
};

/** A quarter, so that a second crash makes at most that many innocent events run alone. */
const shareAtOnce = 1 / 4;

export function createSuspectLane(concurrency: number): SuspectLane {
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
    async run(unfinished, work) {
      const places = unfinished === 1 ? 1 : width;
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
