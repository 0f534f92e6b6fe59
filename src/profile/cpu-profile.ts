import { PipelineError } from '../event/fault.ts';
import { pause } from '../runtime/wait.ts';

/** Bounds of a profile, seconds. A minute is some megabytes. */
export const mostSeconds = 60;

export type Profiler = {
  /**
   * Samples where CPU time goes, for `seconds` or until `stop`.
   * @returns the text of a `.cpuprofile`, which Chrome's DevTools and VS Code open.
   * @throws {PipelineError} `PROFILE_RUNNING`: one at a time.
   */
  profile(of: 'process' | 'thread', seconds: number, stop: AbortSignal): Promise<string>;
};

/**
 * @param profileThread  samples a scoring thread, where the scorer runs; null if the process has none. The process's
 *   own profile is that of its main thread.
 */
export function createProfiler(profileThread: ((ms: number, stop: AbortSignal) => Promise<string>) | null): Profiler {
  let isRunning = false;
  return {
    async profile(of, seconds, stop) {
      if (isRunning) throw new PipelineError('transient', 'PROFILE_RUNNING', 'a profile is being taken; one at a time');
      if (of === 'thread' && profileThread === null)
        throw new PipelineError('permanent', 'NO_THREADS', 'this process has no scoring threads');
      isRunning = true;
      try {
        const ms = Math.min(seconds, mostSeconds) * 1_000;
        return await (of === 'thread' && profileThread !== null ? profileThread(ms, stop) : profileMain(ms, stop));
      } finally {
        isRunning = false;
      }
    },
  };
}

async function profileMain(ms: number, stop: AbortSignal): Promise<string> {
  // Most processes never need it.
  const { Session } = await import('node:inspector/promises');
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await pause(ms, stop);
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
