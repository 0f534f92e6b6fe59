/** `capMs >= baseMs > 0`, milliseconds. */
type RetryPolicy = { readonly baseMs: number; readonly capMs: number };

/** The largest random deviation of a delay, in either direction, as a share of it. */
export const jitter = 0.2;

/**
 * Delay before the next attempt: base × 2^(attempt − 1), at most the cap, ±20 %. The cap is applied before the jitter,
 * so that late attempts spread out too.
 *
 * @param attempt  attempts made so far, from 1.
 * @returns whole milliseconds.
 * @throws {RangeError} if `attempt` is not a positive integer.
 */
export function backoffMs(attempt: number, policy: RetryPolicy, random: () => number = Math.random): number {
  if (!Number.isInteger(attempt) || attempt < 1) throw new RangeError(`attempt must be at least 1, got ${attempt}`);
  const grown = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1));
  return Math.round(grown * (1 - jitter + 2 * jitter * random()));
}
