import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { PipelineError } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import type { Profiler } from './cpu-profile.ts';
import type { ProfileResult, ProfileWish, StoreProfile, TakeWish } from './ports.ts';

/** Below the `max_allowed_packet` of every server that is supported (16 MiB by default). */
const mostBytes = 8 * 1_024 * 1_024;

/**
 * Takes the profiles that operators ask for through the database: that way they reach members on other hosts, without a
 * port.
 *
 * @returns looks for a wish, and begins it; to be called with each heartbeat.
 */
export function followWishes(options: {
  readonly takeWish: TakeWish;
  readonly storeProfile: StoreProfile;
  readonly profiler: Profiler;
  /** Aborted when the process ends. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}): () => Promise<void> {
  const { log } = options;

  async function take({ of, seconds }: ProfileWish): Promise<ProfileResult> {
    log.info({ of, seconds }, 'taking a profile for an operator');
    try {
      const content = await promisify(gzip)(await options.profiler.profile(of, seconds, options.stop));
      return content.length <= mostBytes ? { content } : { error: 'the profile is too large: ask for fewer seconds' };
    } catch (error) {
      log.warn({ err: error }, 'no profile');
      return { error: error instanceof PipelineError ? error.message : 'the profile failed; the log has the reason' };
    }
  }

  return async () => {
    const wish = await options.takeWish();
    if (wish === null) return;
    // In the background: heartbeats go on.
    void take(wish)
      .then(options.storeProfile)
      .catch((error: unknown) => log.warn({ err: error }, 'a profile was not stored'));
  };
}
