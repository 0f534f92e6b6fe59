import type { Response } from 'express';
import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../runtime/http/problem.ts';

const windowSeconds = 60;

/** Whose requests are counted. */
type Of = 'key' | 'user';

export type Limits = {
  /**
   * Counts a request against a limit and tells the caller what is left of it.
   * @param perMinute  0: no limit. @param cost  how many requests it is: a batch is as many as it has lines.
   * @throws {Problem} 429
   */
  take(response: Response, of: Of, name: string, perMinute: number, cost?: number): Promise<void>;
};

/**
 * Limits per minute: a window begins with the first request in it. With Redis all APIs count together; without it, or
 * while it is away, each has its share.
 *
 * @param options.redis  an ioredis client; null: none. @param options.apis  how many APIs share a limit.
 */
export function createLimits(options: { readonly redis: object | null; readonly apis: () => number }): Limits {
  const limiters = new Map<string, { readonly shared: RateLimiterAbstract; readonly own: RateLimiterMemory }>();

  /** One for each limit that is in use: keys with the same limit share it. */
  function limiterFor(of: Of, perMinute: number): RateLimiterAbstract {
    const id = `${of}:${perMinute}`;
    let found = limiters.get(id);
    if (found === undefined) {
      const common = { keyPrefix: `afterword:limit:${id}`, points: perMinute, duration: windowSeconds };
      const own = new RateLimiterMemory(common);
      const shared =
        options.redis === null
          ? own
          : new RateLimiterRedis({
              ...common,
              storeClient: options.redis,
              insuranceLimiter: own,
              // Who is over the limit costs Redis nothing more.
              inMemoryBlockOnConsumed: perMinute + 1,
            });
      found = { shared, own };
      limiters.set(id, found);
    }
    found.own.points = Math.max(1, Math.ceil(perMinute / options.apis()));
    return found.shared;
  }

  return {
    async take(response, of, name, perMinute, cost = 1) {
      if (perMinute === 0) return;
      const limiter = limiterFor(of, perMinute);
      try {
        tell(response, of, perMinute, await limiter.consume(name, cost));
      } catch (refused) {
        if (!(refused instanceof RateLimiterRes)) throw refused;
        tell(response, of, perMinute, refused);
        throw new Problem(429, 'rate_limited', `this ${of} has made as many requests as a minute allows`, {
          retryAfterSeconds: Math.max(1, Math.ceil(refused.msBeforeNext / 1_000)),
        });
      }
    },
  };
}

/** The fields of draft-ietf-httpapi-ratelimit-headers-11: a quota in a window of seconds, and what is left of it. */
function tell(response: Response, of: Of, perMinute: number, { remainingPoints, msBeforeNext }: RateLimiterRes): void {
  // The answer of a batch begins before its last lines are counted.
  if (response.headersSent) return;
  const seconds = Math.max(0, Math.ceil(msBeforeNext / 1_000));
  response.appendHeader('RateLimit-Policy', `"${of}";q=${perMinute};w=${windowSeconds}`);
  response.appendHeader('RateLimit', `"${of}";r=${Math.max(0, remainingPoints)};t=${seconds}`);
}
