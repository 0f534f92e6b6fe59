import type { Logger } from '../runtime/log.ts';
import type { Controls } from './ports.ts';

/** What a worker can be told to do. */
export type Controlled = {
  pause(): Promise<void>;
  resume(): Promise<void>;
  setConcurrency(concurrency: number): Promise<void>;
  drain(): void;
};

/**
 * Does what operators want, once per change. A database that cannot be asked changes nothing: a worker that was paused
 * stays paused.
 *
 * @returns asks and follows; to be called with each heartbeat.
 */
export function followControls(options: {
  readonly readControls: () => Promise<Controls>;
  readonly worker: Controlled;
  /** As configured. */
  readonly concurrency: number;
  /** What it does already. */
  readonly now: Controls;
  readonly log: Logger;
}): () => Promise<void> {
  const { worker, log } = options;
  let isDrained = false;
  let { isPaused } = options.now;
  let concurrency = options.now.concurrency ?? options.concurrency;
  return async () => {
    const wanted = await options.readControls();
    if (isDrained) return;
    if (wanted.isDrained) {
      isDrained = true;
      log.info('an operator drains this worker');
      return worker.drain();
    }
    const wantedConcurrency = wanted.concurrency ?? options.concurrency;
    if (wantedConcurrency !== concurrency) {
      log.info({ from: concurrency, to: wantedConcurrency }, 'concurrency changed by an operator');
      concurrency = wantedConcurrency;
      await worker.setConcurrency(concurrency);
    }
    if (wanted.isPaused === isPaused) return;
    isPaused = wanted.isPaused;
    log.info(isPaused ? 'paused by an operator' : 'resumed by an operator');
    await (isPaused ? worker.pause() : worker.resume());
  };
}
