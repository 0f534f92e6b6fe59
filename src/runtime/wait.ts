import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms` milliseconds, or less if `signal` fires. Never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await delay(ms, undefined, { signal }).catch(() => {});
}

/** Delays for a retry loop: doubling from `baseMs` to `capMs`, ±20 % so that the processes of a fleet spread out. */
export function createBackoff(baseMs: number, capMs: number, random: () => number = Math.random) {
  let failures = 0;
  return {
    /** Milliseconds to wait after one more failure. */
    next(): number {
      const grown = Math.min(capMs, baseMs * 2 ** Math.min(failures++, 30));
      return Math.round(grown * (0.8 + 0.4 * random()));
    },
    reset(): void {
      failures = 0;
    },
  };
}

/** @returns true if `promise` settled within `ms`, false if not. Its rejection is the caller's to handle. */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const late = Symbol('late');
  const timer = new AbortController();
  const first = await Promise.race([promise, delay(ms, late, { signal: timer.signal }).catch(() => late)]);
  timer.abort();
  return first !== late;
}
