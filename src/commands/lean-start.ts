import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';

// How processes start where several share a machine (docs/decisions/0013). What the environment says wins.

/**
 * For every process: what was compiled once is read back. A worker is at work a fourth sooner, and each process 20 MiB
 * smaller, as it does not load the compiler of types. Where the folder cannot be written, nothing is kept.
 */
export const compileCache = {
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/afterword', import.meta.url)),
} as const;

/**
 * For workers: V8 otherwise keeps four helper threads and 16 MiB of young generation (three times over) for each
 * process, and glibc an arena for each thread. Many workers on few cores are smaller by a fourth and faster for it; at
 * one worker with fifty deliveries it makes no difference. docker-compose.worker.yml says the same.
 */
export const leanWorker = { NODE_OPTIONS: '--v8-pool-size=1 --max-semi-space-size=4', MALLOC_ARENA_MAX: '2' } as const;

/**
 * Scoring threads of each worker where the workers of a fleet share this machine: what `SCORING_THREADS` says, else its
 * share of the cores. More threads than cores score nothing sooner, and each takes 12 MiB.
 */
export function threadsEach(config: Config, env: NodeJS.ProcessEnv = process.env): number {
  if (env['SCORING_THREADS']) return config.scoringThreads;
  return Math.min(config.scoringThreads, Math.max(1, Math.ceil(availableParallelism() / config.workerReplicas)));
}
