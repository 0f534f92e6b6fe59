import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../runtime/http/problem.ts';

/** Takes `messages` from what a session and its user may send. @throws {Problem} 429 */
export type TakeAllowance = (sessionId: string, messages: number) => Promise<void>;

const minute = 60;

/**
 * Messages per minute, of a session and of a user; 0: no limit. Counted in Redis by all processes together; while Redis
 * is away, each counts for itself.
 *
 * @param client  an ioredis client.
 * @param options.userOf  null: not known now, and then only the session counts.
 */
export function createAllowance(
  client: unknown,
  {
    perSession,
    perUser,
    userOf,
  }: {
    readonly perSession: number;
    readonly perUser: number;
    readonly userOf: (sessionId: string) => Promise<string | null>;
  },
): TakeAllowance {
  const session = limiter(client, 'sessions:rate:session', perSession);
  const user = limiter(client, 'sessions:rate:user', perUser);
  return async (sessionId, messages) => {
    try {
      // One after the other: what the session refuses costs its user nothing.
      await session?.consume(sessionId, messages);
      const userId = user === null ? null : await userOf(sessionId);
      if (userId !== null) await user?.consume(userId, messages);
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      throw new Problem(429, 'too_many_messages', 'too many messages in this minute', {
        retryAfterSeconds: Math.max(1, Math.ceil(refused.msBeforeNext / 1_000)),
      });
    }
  };
}

function limiter(client: unknown, keyPrefix: string, points: number): RateLimiterRedis | null {
  if (points === 0) return null;
  const insuranceLimiter = new RateLimiterMemory({ keyPrefix, points, duration: minute });
  return new RateLimiterRedis({ storeClient: client, keyPrefix, points, duration: minute, insuranceLimiter });
}
