import { statementDeadlineMs } from '../start/limits.ts';
import { processedTimes } from '../store/index.ts';
import type { Setting } from './choose-setting.ts';
import type { TestBed } from './test-bed.ts';

/**
 * Open loop at `rate` per second: a request is sent when it is due, and its latency is counted from then until its
 * row's `processed_at`.
 */
export async function measureLatency(
  bed: TestBed,
  setting: Setting,
  rate: number,
  seconds: number,
): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
  // Warm up first, like a fleet in service: the first seconds of a process are its slowest.
  await bed.fill(Math.ceil(Math.min(3_000, rate * 2)));
  const running = await bed.startWorkers(setting);
  try {
    await bed.untilNoneOpen();
    const dueAt = new Map<string, number>();
    const sending: Promise<unknown>[] = [];
    const gap = () => (-Math.log(1 - Math.random()) * 1_000) / rate;
    const began = Date.now();
    for (let due = began + gap(); due < began + seconds * 1_000; ) {
      for (; due <= Date.now(); due += gap()) {
        const dueHere = due;
        const sent = bed.post().then((id) => dueAt.set(id, dueHere));
        sent.catch(() => {}); // reported when all are awaited
        sending.push(sent);
      }
      await bed.pause(2);
    }
    await Promise.all(sending);
    await bed.untilNoneOpen();
    const waits = [...(await processedTimes(bed.store, statementDeadlineMs))]
      .flatMap(([id, at]) => {
        const due = dueAt.get(id);
        return due === undefined ? [] : [at.getTime() - due];
      })
      .sort((a, b) => a - b);
    const at = (p: number) => waits[Math.min(waits.length - 1, Math.floor(p * waits.length))] ?? Number.NaN;
    return { p50Ms: at(0.5), p99Ms: at(0.99) };
  } finally {
    await bed.stopWorkers(running);
  }
}
