import type { Response } from 'express';
import { LRUCache } from 'lru-cache';
import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../runtime/http/problem.ts';

const windowSeconds = 60;
/** Requests are taken from a limit several at a time, while there are many left: most then cost no round trip. */
const mostAtOnce = 50;
/** At most this share of what is left. */
const shareAtOnce = 0.05;
/** Those who have sent something in the last minute. One that is forgotten asks the limiter again. */
const maxLeases = 50_000;

/** Whose requests are counted. */
type Of = 'key' | 'user' | 'fair-key' | 'fair-user';

export type Limits = {
  /**
   * Counts a request against a limit and tells the caller what is left of it.
   * @param perMinute  0: no limit. @param cost  how many requests it is.
   * @throws {Problem} 429
   */
  take(response: Response, of: 'key' | 'user', name: string, perMinute: number, cost?: number): Promise<void>;
  /** Counts one against a limit that nobody is told of. @returns whether there are more than the limit. */
  exceeds(of: 'fair-key' | 'fair-user', name: string, perMinute: number): Promise<boolean>;
};

/** What this process has taken from a limit and not used yet. */
type Lease = {
  own: number;
  /** In the limiter. */
  remaining: number;
  /** Of the window, as `performance.now()` counts. */
  endsAt: number;
  isRefused: boolean;
  /** Those who wait for the limiter, in the order in which they came: a limit cuts off the last ones. */
  waiting: number;
  last: Promise<unknown>;
};

/**
 * Limits per minute: a window begins with the first request in it. With Redis all APIs count together; without it, or
 * while it is away, each has its share. What a process has taken in advance and does not use is lost, so that a limit
 * is missed downwards only.
 *
 * @param options.redis  an ioredis client; null: none. @param options.apis  how many APIs share a limit.
 */
export function createLimits(options: { readonly redis: object | null; readonly apis: () => number }): Limits {
  const limiters = new Map<string, { readonly shared: RateLimiterAbstract; readonly own: RateLimiterMemory }>();
  const leases = new LRUCache<string, Lease>({ max: maxLeases });

  /** One for each limit that is in use: keys with the same limit share it. */
  function limiterFor(of: Of, perMinute: number): RateLimiterAbstract {
    const id = `${of}:${perMinute}`;
    let found = limiters.get(id);
    if (found === undefined) {
      const common = { keyPrefix: `afterword:limit:${id}`, points: perMinute, duration: windowSeconds };
      const own = new RateLimiterMemory(common);
      const { redis } = options;
      const shared =
        redis === null
          ? own
          : new RateLimiterRedis({ ...common, storeClient: redis, insuranceLimiter: own, rejectIfRedisNotReady: true });
      found = { shared, own };
      limiters.set(id, found);
    }
    found.own.points = Math.max(1, Math.ceil(perMinute / options.apis()));
    return found.shared;
  }

  function leaseOf(of: Of, name: string, perMinute: number): Lease {
    const id = `${of}:${perMinute}:${name}`;
    let lease = leases.get(id);
    if (lease === undefined) {
      lease = { own: 0, remaining: 0, endsAt: 0, isRefused: false, waiting: 0, last: Promise.resolve() };
      leases.set(id, lease);
    }
    return lease;
  }

  async function refill(lease: Lease, limiter: RateLimiterAbstract, name: string, cost: number): Promise<void> {
    const ahead = Math.min(mostAtOnce, Math.floor(lease.remaining * shareAtOnce));
    const points = Math.max(cost, ahead);
    try {
      take(lease, await limiter.consume(name, points), points);
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      // What is refused is counted all the same.
      if (points > cost) {
        take(lease, await limiter.reward(name, points), 0);
        return;
      }
      Object.assign(lease, { remaining: 0, isRefused: true, endsAt: performance.now() + refused.msBeforeNext });
    }
  }

  /** @returns whether it was taken; without a promise, if what was taken in advance is enough. */
  function count(lease: Lease, of: Of, name: string, perMinute: number, cost: number): boolean | Promise<boolean> {
    renew(lease);
    if (lease.waiting === 0 && spend(lease, cost)) return true;
    return inTurn(lease, async () => {
      renew(lease);
      while (lease.own < cost && !lease.isRefused) await refill(lease, limiterFor(of, perMinute), name, cost);
      return spend(lease, cost);
    });
  }

  return {
    exceeds: async (of, name, perMinute) => !(await count(leaseOf(of, name, perMinute), of, name, perMinute, 1)),
    async take(response, of, name, perMinute, cost = 1) {
      if (perMinute === 0) return;
      const lease = leaseOf(of, name, perMinute);
      const counted = count(lease, of, name, perMinute, cost);
      const isTaken = typeof counted === 'boolean' ? counted : await counted;
      const seconds = Math.max(1, Math.ceil((lease.endsAt - performance.now()) / 1_000));
      // Without Redis, this API has its share only.
      const quota = options.redis === null ? Math.max(1, Math.ceil(perMinute / options.apis())) : perMinute;
      tell(response, of, quota, { left: isTaken ? lease.own + lease.remaining : 0, seconds });
      if (isTaken) return;
      throw new Problem(429, 'rate_limited', `this ${of} has made as many requests as a minute allows`, {
        retryAfterSeconds: seconds,
      });
    },
  };
}

/** A new window. */
function renew(lease: Lease): void {
  if (lease.endsAt <= performance.now()) Object.assign(lease, { own: 0, remaining: 0, isRefused: false });
}

function spend(lease: Lease, cost: number): boolean {
  if (lease.own < cost) return false;
  lease.own -= cost;
  return true;
}

function inTurn<T>(lease: Lease, work: () => Promise<T>): Promise<T> {
  lease.waiting++;
  const mine = lease.last.then(work).finally(() => {
    lease.waiting--;
  });
  lease.last = mine.catch(() => {}); // told to whoever it is about
  return mine;
}

function take(lease: Lease, { remainingPoints, msBeforeNext }: RateLimiterRes, points: number): void {
  lease.own += points;
  lease.remaining = Math.max(0, remainingPoints);
  lease.endsAt = performance.now() + msBeforeNext;
}

/** The fields of draft-ietf-httpapi-ratelimit-headers-11: a quota in a window of seconds, and what is left of it. */
function tell(
  response: Response,
  of: 'key' | 'user',
  quota: number,
  { left, seconds }: { readonly left: number; readonly seconds: number },
): void {
  // The answer of a batch begins before its lines are counted.
  if (response.headersSent) return;
  addToList(response, 'RateLimit-Policy', `"${of}";q=${quota};w=${windowSeconds}`);
  addToList(response, 'RateLimit', `"${of}";r=${left};t=${seconds}`);
}

/** In one line, which costs less than two. */
function addToList(response: Response, field: string, item: string): void {
  const before = response.getHeader(field);
  response.setHeader(field, before === undefined ? item : `${before}, ${item}`);
}
