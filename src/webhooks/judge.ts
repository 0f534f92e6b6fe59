import type { Verdict } from './ports.ts';

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
/** Waits before the second attempt, the third and so on: Standard Webhooks 1.0.0. Together, three days. */
const waits = [5 * second, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour];
export const maxAttempts = waits.length + 1;
const jitter = 0.1;
const longestWait = 24 * hour;
/** An endpoint that has failed for so long is disabled when the next delivery has had all its attempts. */
export const disableAfterMs = 120 * hour;
const gone = 410;

/**
 * What becomes of a delivery after an attempt.
 * @param outcome.status  of the answer; null: there was none. @param attempts  with this one, from 1.
 * @param failingMs  how long the endpoint has been failing.
 */
export function judgeAttempt(
  outcome: { readonly status: number | null; readonly retryAfterMs: number },
  attempts: number,
  failingMs: number,
  random: () => number = Math.random,
): Exclude<Verdict, { readonly kind: 'erased' }> {
  const { status } = outcome;
  if (status !== null && status >= 200 && status < 300) return { kind: 'delivered' };
  if (status === gone) return { kind: 'disable', why: 'the receiver answered 410 Gone' };
  const wait = waits[attempts - 1];
  if (wait === undefined)
    return failingMs >= disableAfterMs
      ? { kind: 'disable', why: 'every attempt has failed for five days' }
      : { kind: 'failed' };
  const delayMs = Math.max(wait * (1 + jitter * random()), Math.min(outcome.retryAfterMs, longestWait));
  return { kind: 'retry', delayMs: Math.round(delayMs) };
}
