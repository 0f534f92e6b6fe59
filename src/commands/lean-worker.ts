import { fileURLToPath } from 'node:url';

/**
 * How a worker is started where several share a machine (docs/decisions/0013); what the environment says wins.
 *
 * A fourth less memory, and many workers on few cores are faster for it: V8 otherwise keeps four helper threads and 16 MiB of young generation (three
 * times over) for each process, and glibc an arena for each thread. At one worker with fifty deliveries it makes no difference.
 * docker-compose.worker.yml says the same.
 *
 * A fifth sooner at work: what was compiled once is read back. Where the folder cannot be written, nothing is kept.
 */
export const leanWorker = {
  NODE_OPTIONS: '--v8-pool-size=1 --max-semi-space-size=8',
  MALLOC_ARENA_MAX: '2',
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/afterword', import.meta.url)),
} as const;
