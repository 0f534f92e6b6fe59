import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { PipelineError } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import type { Profiler } from './cpu-profile.ts';
import type { ClaimProfileRequest, ProfileRequest, ProfileResult, StoreProfile } from './ports.ts';

/** Half of MariaDB's default `max_allowed_packet`, and below what `afterword doctor` asks for. */
const mostBytes = 8 * 1_024 * 1_024;

/**
 * Takes the profiles that operators request through the database: that way they reach members on other hosts, without a
 * port.
 *
 * @returns looks for a request, and begins it; to be called when an operator has asked something.
 */
export function followProfileRequests(options: {
  readonly claimProfileRequest: ClaimProfileRequest;
  readonly storeProfile: StoreProfile;
  readonly profiler: Profiler;
  /** Aborted when the process ends. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}): () => Promise<void> {
  const { log } = options;

  async function take({ of, seconds }: ProfileRequest): Promise<ProfileResult> {
    log.info({ of, seconds }, 'taking a profile for an operator');
    try {
      const content = await promisify(gzip)(await options.profiler.profile(of, seconds, options.stop));
      return content.length <= mostBytes ? { content } : { error: 'the profile is too large: ask for fewer seconds' };
    } catch (error) {
      log.warn({ err: error }, 'could not take a profile');
      return { error: error instanceof PipelineError ? error.message : 'the profile failed; the log has the reason' };
    }
  }

  return async () => {
    const request = await options.claimProfileRequest();
    if (request === null) return;
    // In the background: heartbeats go on.
    void take(request)
      .then((result) => options.storeProfile(request.requestId, result))
      .catch((error: unknown) => log.warn({ err: error }, 'a profile was not stored'));
  };
}
