import { setMaxListeners } from 'node:events';
import { pause } from '../runtime/wait.ts';
import type { LoadShape } from './shapes.ts';

/** One request of a virtual user. Resolves when it is answered; never rejects. */
type Act = (user: number) => Promise<void>;

type Crowd = {
  /** Resolves when the time is over, or `stop` has fired, and every request under way has been answered. */
  readonly done: Promise<void>;
  readonly users: () => number;
};

/**
 * Closed loop: each user waits for its answer, thinks, and asks again. A service that slows down is asked less, as by
 * people; use `openLoop` to see what it does with requests that come whatever it does.
 */
export function closedLoop(profile: LoadShape, act: Act, stop: AbortSignal, random: () => number = Math.random): Crowd {
  const over = AbortSignal.any([stop, AbortSignal.timeout(profile.runTimeMs)]);
  setMaxListeners(0, over); // each user listens
  let users = 0;

  async function runUser(user: number): Promise<void> {
    users++;
    while (!over.aborted) {
      await act(user);
      const [least, most] = profile.thinkMs;
      await pause(least + (most - least) * random(), over);
    }
    users--;
  }

  async function spawn(): Promise<void> {
    const running: Promise<void>[] = [];
    const began = performance.now();
    for (let user = 0; user < profile.users && !over.aborted; user++) {
      running.push(runUser(user));
      const nextAt = began + ((user + 1) / profile.spawnRate) * 1_000;
      if (nextAt > performance.now()) await pause(nextAt - performance.now(), over);
    }
    await Promise.all(running);
  }

  return { done: spawn(), users: () => users };
}

/** Most unanswered requests. Beyond that, requests are sent late, and count from when they were due. */
const mostUnanswered = 10_000;
/** An open loop has no users; these take turns, so that some of them have something to read. */
const users = 100;

/**
 * Open loop: requests are due at random times, `rate` per second on average, whatever the answers do. Latency should be
 * counted from when a request was due.
 *
 * @param act  gets the moment at which its request was due, as `performance.now()` counts.
 */
export function openLoop(
  options: { readonly rate: number; readonly runTimeMs: number },
  act: (user: number, dueAt: number) => Promise<void>,
  stop: AbortSignal,
  random: () => number = Math.random,
): Crowd {
  const over = AbortSignal.any([stop, AbortSignal.timeout(options.runTimeMs)]);
  const unanswered = new Set<Promise<void>>();

  async function run(): Promise<void> {
    const gap = () => (-Math.log(1 - random()) * 1_000) / options.rate;
    let due = performance.now() + gap();
    for (let n = 0; !over.aborted; ) {
      for (; due <= performance.now() && unanswered.size < mostUnanswered; due += gap()) {
        const request = act(n++ % users, due).finally(() => unanswered.delete(request));
        unanswered.add(request);
      }
      await pause(Math.max(1, Math.min(20, due - performance.now())), over);
    }
    await Promise.all(unanswered);
  }

  return { done: run(), users: () => unanswered.size };
}
