/**
 * Lets redelivered events whose starts have ended with their process run a few at a time, and one that has done so repeatedly alone among
 * them: when the process dies again, whoever did it is among few, then known.
 */
export type SuspectLane = {
  /**
   * Runs `work` when it is its turn, in the order of calls.
   * @param unfinished  starts that never ended, one at least.
   */
  run<T>(unfinished: number, work: () => Promise<T>): Promise<T>;
};

/** A quarter of the deliveries: when one of these ends the process, the innocent among them run alone once, and the others never do. */
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
