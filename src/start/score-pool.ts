import type { Config } from '../config.ts';
import type { Logger } from '../runtime/log.ts';
import { StoppedError } from '../runtime/start-error.ts';
import { type ScorePool, startScorePool } from '../score/index.ts';

/** @throws {StoppedError} if `stop` fires before the scorer is loaded. @throws {PipelineError} if it cannot be. */
export function startPool(config: Config, threads: number, stop: AbortSignal, log: Logger): Promise<ScorePool> {
  return startScorePool({
    threads,
    threadMemoryMb: config.scoringThreadMemoryMb,
    threadMaxTasks: config.threadMaxTasks,
    timeoutMs: config.scoringTimeoutMs,
    weights: config.weights,
    scorerModule: config.scorerModule,
    stop,
    log,
  }).catch((error: unknown) => {
    if (stop.aborted) throw new StoppedError('stopped while the scorer was loaded', { cause: error });
    throw error;
  });
}
