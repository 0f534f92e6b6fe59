import { PipelineError } from '../event/fault.ts';
import { pause } from '../runtime/wait.ts';
import { mostSeconds } from './ports.ts';

export type Profiler = {
  /**
   * Samples where CPU time goes, for `seconds`.
   * @returns the text of a `.cpuprofile`, which Chrome's DevTools and VS Code open.
   * @throws {PipelineError} `PROFILE_RUNNING`: one at a time; `PROFILE_STOPPED`: `stop` fired.
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
        const text = await (of === 'thread' && profileThread !== null
          ? profileThread(ms, stop)
          : profileMain(ms, stop));
        if (stop.aborted) throw new PipelineError('transient', 'PROFILE_STOPPED', 'the process ended meanwhile');
        return text;
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
