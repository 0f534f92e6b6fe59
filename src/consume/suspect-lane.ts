/**
 * Redelivered events that were running when their process died. Those with one such start run together, at most a
 * quarter of the prefetch; those with more run alone in the lane. If the process dies again, there are few suspects,
 * and the next time only one.
 */
type SuspectLane = {
  /**
   * Runs `work` when it is its turn, in the order of calls.
   * @param unfinished  starts that never ended, one at least.
   */
  run<T>(unfinished: number, work: () => Promise<T>): Promise<T>;
};

/** A quarter, so that a second crash sends at most that many innocent events to run alone. */
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
