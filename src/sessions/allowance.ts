import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../runtime/http/problem.ts';

/** Takes `messages` from what a session may send. @throws {Problem} 429 */
type TakeAllowance = (sessionId: string, messages: number) => Promise<void>;

/** The limit per minute of a session, counted by this process alone, used while Redis is away; 0: no limit. */
export function createAllowance(perMinute: number): TakeAllowance {
  if (perMinute === 0) return async () => {};
  const limiter = new RateLimiterMemory({ points: perMinute, duration: 60 });
  return async (sessionId, messages) => {
    try {
      await limiter.consume(sessionId, messages);
    } catch (refused) {
      throw refused instanceof RateLimiterRes ? tooMany('session', refused.msBeforeNext) : refused;
    }
  };
}

export function tooMany(whose: 'session' | 'user', forMs: number): Problem {
  return new Problem(429, 'too_many_messages', `this ${whose} has sent as many messages as a minute allows`, {
    retryAfterSeconds: Math.max(1, Math.ceil(forMs / 1_000)),
  });
}
