import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../runtime/http/problem.ts';

/** Takes `messages` from what a session may send. @throws {Problem} 429 */
type TakeAllowance = (sessionId: string, messages: number) => Promise<void>;

/**
 * Messages per minute of a session, counted by this process alone, for as long as Redis does not count for all; 0: no
 * limit.
 */
export function createAllowance(perMinute: number): TakeAllowance {
  if (perMinute === 0) return async () => {};
  const limiter = new RateLimiterMemory({ points: perMinute, duration: 60 });
  return async (sessionId, messages) => {
    try {
      await limiter.consume(sessionId, messages);
    } catch (refused) {
      throw refused instanceof RateLimiterRes ? tooMany(refused.msBeforeNext) : refused;
    }
  };
}

export function tooMany(forMs: number): Problem {
  return new Problem(429, 'too_many_messages', 'too many messages in this minute', {
    retryAfterSeconds: Math.max(1, Math.ceil(forMs / 1_000)),
  });
}
