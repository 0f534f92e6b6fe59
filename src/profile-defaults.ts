import { availableParallelism } from 'node:os';

/** `dev`: one conversation after the other, easy to follow. `prod`: what this machine can do. */
export const profiles = ['dev', 'prod'] as const;
type Profile = (typeof profiles)[number];

/** A worker scores in several threads, and few workers commit more together (docs/sizing.md). */
const coresPerWorker = 4;

/** Defaults that a profile sets in place of the usual ones. What is in the environment wins. */
export function profileDefaults(profile: Profile, cores = availableParallelism()): Readonly<Record<string, string>> {
  return profile === 'dev'
    ? { WORKER_REPLICAS: '1', MESSAGE_CONCURRENCY_PER_WORKER: '1', LOG_LEVEL: 'debug' }
    : {
        // At least two, so that one can end while the other works.
        WORKER_REPLICAS: String(Math.max(2, Math.ceil(cores / coresPerWorker))),
        MESSAGE_CONCURRENCY_PER_WORKER: '50',
        LOG_LEVEL: 'info',
        LOG_FORMAT: 'json',
      };
}
