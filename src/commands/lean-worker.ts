/**
 * How a worker is started where several share a machine: a fourth less memory, and many workers on few cores are faster for it. V8 otherwise
 * keeps four helper threads and 16 MiB of young generation (three times over) for each process, and glibc an arena for each thread; at one
 * worker with fifty deliveries it makes no difference (docs/decisions/0013). What the environment says wins. docker-compose.worker.yml has the same.
 */
export const leanWorker = { NODE_OPTIONS: '--v8-pool-size=1 --max-semi-space-size=8', MALLOC_ARENA_MAX: '2' } as const;
