import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';

// How processes start where several share a machine (docs/decisions/0013). The environment takes precedence.

/**
 * For every process: compiled code is cached on disk. A worker is ready in a quarter less time, and each process is
 * 20 MiB smaller, because it does not load the TypeScript compiler. If the folder is not writable, nothing is cached.
 */
export const compileCache = {
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/afterword', import.meta.url)),
} as const;

/**
 * For workers: V8 otherwise keeps four helper threads and 16 MiB of young generation (three times over) per process,
 * and glibc one arena per thread. With many workers on few cores this makes each a quarter smaller, and faster; with
 * one worker and fifty deliveries it makes no difference. docker-compose.worker.yml sets the same.
 */
export const leanWorker = { NODE_OPTIONS: '--v8-pool-size=1 --max-semi-space-size=4', MALLOC_ARENA_MAX: '2' } as const;

/**
 * Scoring threads of each worker where the workers of a fleet share this machine: `SCORING_THREADS` if set, else the
 * worker's share of the cores. More threads than cores gain nothing, and each takes 12 MiB.
 */
export function threadsEach(config: Config, env: NodeJS.ProcessEnv = process.env): number {
  if (env['SCORING_THREADS']) return config.scoringThreads;
  return Math.min(config.scoringThreads, Math.max(1, Math.ceil(availableParallelism() / config.mostWorkers)));
}
