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
   * Counts a request against a limit and tells the caller what is left of it. Only if the limiter must be asked, there
   * is something to wait for.
   * @param perMinute  0: no limit. @param cost  how many requests it is.
   * @throws {Problem} 429
   */
  take(response: Response, of: 'key' | 'user', name: string, perMinute: number, cost?: number): Promise<void> | void;
  /** Counts one against a limit that nobody is told of. @returns whether there are more than the limit. */
  exceeds(of: 'fair-key' | 'fair-user', name: string, perMinute: number): Promise<boolean>;
};

/** What those with the same limit share. */
type Limit = {
  readonly perMinute: number;
  /** Of this process alone. */
  readonly own: RateLimiterMemory;
  readonly shared: RateLimiterAbstract;
  readonly leases: LRUCache<string, Lease>;
  /** As it was last told. */
  quota: number;
  policy: string;
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
  const limits: Record<Of, Map<number, Limit>> = {
    key: new Map(),
    user: new Map(),
    'fair-key': new Map(),
    'fair-user': new Map(),
  };

  /** Those with the same limit share it. */
  function limitOf(of: Of, perMinute: number): Limit {
    let found = limits[of].get(perMinute);
    if (found === undefined) {
      const common = { keyPrefix: `afterword:limit:${of}:${perMinute}`, points: perMinute, duration: windowSeconds };
      const own = new RateLimiterMemory(common);
      const { redis } = options;
      const shared =
        redis === null
          ? own
          : new RateLimiterRedis({ ...common, storeClient: redis, insuranceLimiter: own, rejectIfRedisNotReady: true });
      found = { own, shared, perMinute, leases: new LRUCache({ max: maxLeases }), quota: 0, policy: '' };
      limits[of].set(perMinute, found);
    }
    return found;
  }

  function leaseOf({ leases }: Limit, name: string): Lease {
    let lease = leases.get(name);
    if (lease === undefined) {
      lease = { own: 0, remaining: 0, endsAt: 0, isRefused: false, waiting: 0, last: Promise.resolve() };
      leases.set(name, lease);
    }
    return lease;
  }

  async function refill(lease: Lease, limit: Limit, name: string, cost: number): Promise<void> {
    limit.own.points = Math.max(1, Math.ceil(limit.perMinute / options.apis()));
    const limiter = limit.shared;
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
  function count(lease: Lease, limit: Limit, name: string, cost: number, now: number): boolean | Promise<boolean> {
    renew(lease, now);
    if (lease.waiting === 0 && spend(lease, cost)) return true;
    return inTurn(lease, async () => {
      renew(lease, performance.now());
      while (lease.own < cost && !lease.isRefused) await refill(lease, limit, name, cost);
      return spend(lease, cost);
    });
  }

  /** @throws {Problem} 429, if it was not taken. */
  function answer(response: Response, of: 'key' | 'user', limit: Limit, lease: Lease, isTaken: boolean, now: number) {
    const seconds = Math.max(1, Math.ceil((lease.endsAt - now) / 1_000));
    // Without Redis, this API has its share only.
    const quota = options.redis === null ? Math.max(1, Math.ceil(limit.perMinute / options.apis())) : limit.perMinute;
    if (quota !== limit.quota) Object.assign(limit, { quota, policy: `"${of}";q=${quota};w=${windowSeconds}` });
    tell(response, limit.policy, `"${of}";r=${isTaken ? lease.own + lease.remaining : 0};t=${seconds}`);
    if (isTaken) return;
    throw new Problem(429, 'rate_limited', `this ${of} has made as many requests as a minute allows`, {
      retryAfterSeconds: seconds,
    });
  }

  return {
    async exceeds(of, name, perMinute) {
      const limit = limitOf(of, perMinute);
      return !(await count(leaseOf(limit, name), limit, name, 1, performance.now()));
    },
    take(response, of, name, perMinute, cost = 1) {
      if (perMinute === 0) return;
      const limit = limitOf(of, perMinute);
      const lease = leaseOf(limit, name);
      const now = performance.now();
      const counted = count(lease, limit, name, cost, now);
      if (typeof counted === 'boolean') return answer(response, of, limit, lease, counted, now);
      return counted.then((isTaken) => answer(response, of, limit, lease, isTaken, performance.now()));
    },
  };
}

/** A new window. */
function renew(lease: Lease, now: number): void {
  if (lease.endsAt <= now) Object.assign(lease, { own: 0, remaining: 0, isRefused: false });
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

/** Among the locals of a response: what it says of its limits so far. */
const saidKey = 'rateLimits';

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-11: a quota in a window of seconds, and what is left of it. Those
 * of several limits go in one line, which costs less than two.
 */
function tell(response: Response, policy: string, left: string): void {
  // The answer of a batch begins before its lines are counted.
  if (response.headersSent) return;
  const before = response.locals[saidKey] as readonly [string, string] | undefined;
  const said = before === undefined ? [policy, left] : [`${before[0]}, ${policy}`, `${before[1]}, ${left}`];
  response.locals[saidKey] = said;
  response.setHeader('RateLimit-Policy', said[0] ?? '');
  response.setHeader('RateLimit', said[1] ?? '');
}
