import type { Setting } from './choose-setting.ts';
import { busyShare, cpuTimes, memoryMiB } from './machine-use.ts';
import type { Trial } from './model.ts';
import { stuck, type TestBed } from './test-bed.ts';

const pollMs = 200;
/** Time for code to be compiled and connections to warm up. */
const warmMs = 1_500;

type DrainTrial = Trial & { /** The backlog ran out before the end. */ readonly dry: boolean };

/** Measures how fast the backlog drains, for `seconds`, or up to six times that until `fewest` are drained. */
export async function measureDrain(
  bed: TestBed,
  setting: Setting,
  { seconds, fewest }: { readonly seconds: number; readonly fewest: number },
): Promise<DrainTrial> {
  const { workers, concurrency, threads } = setting;
  const running = await bed.startWorkers(setting);
  try {
    await bed.until(
      async () => (await bed.openEvents()) < bed.accepted,
      () => bed.openEvents(),
    );
    await bed.pause(warmMs);
    const [cpuFrom, began, from] = [cpuTimes(), performance.now(), await bed.openEvents()];
    for (let stuckSince = began, before = from; ; ) {
      await bed.pause(pollMs);
      const now = performance.now();
      const open = await bed.openEvents();
      if (open < before) [stuckSince, before] = [now, open];
      if (now - stuckSince > bed.stuckAfterMs) throw stuck();
      const elapsed = (now - began) / 1_000;
      const dry = open <= concurrency * workers;
      // A slow scorer needs longer for a meaningful count.
      if (!dry && (elapsed < seconds || (from - open < fewest && elapsed < seconds * 6))) continue;
      const memory = (await Promise.all(running.map((w) => memoryMiB(w.pid ?? 0)))).filter((m) => m !== null);
      return {
        ...{ workers, concurrency, threads },
        rate: (from - open) / elapsed,
        busy: busyShare(cpuFrom, cpuTimes()),
        workerMiB: memory.length > 0 ? Math.max(...memory) : null,
        dry: dry && elapsed < seconds * 0.75,
      };
    }
  } finally {
    await bed.stopWorkers(running);
  }
}
