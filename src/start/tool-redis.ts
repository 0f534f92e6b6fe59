import { type Config, maskUrl } from '../config.ts';
import { certificateProblem } from '../runtime/certificate-problem.ts';
import { StartError } from '../runtime/start-error.ts';
import type { LiveSessions } from '../sessions/index.ts';
import { quiet } from './tool.ts';

const connectMs = 3_000;

type ToolRedis = {
  readonly live: LiveSessions;
  /** @returns the sessions that went. */
  eraseSessions(userId: string, known: readonly string[]): Promise<string[]>;
  /** What Redis says of itself, by key; of `INFO` and `CONFIG GET`. */
  facts(): Promise<ReadonlyMap<string, string>>;
  close(): Promise<void>;
};

/** Redis for a command: tried once, and not waited for. @throws {StartError} that says what to do. */
export async function openToolRedis(config: Config & { readonly redisUrl: string }): Promise<ToolRedis> {
  const { connectRedis, eraseSessions, liveSessions, redisFacts } = await import('../redis/index.ts');
  const arrived = Promise.withResolvers<void>();
  const link = connectRedis({
    url: config.redisUrl,
    name: `afterword-tool-${process.pid}`,
    recover: async () => {},
    mayHaveLost: async () => false,
    log: quiet,
    onFirst: (error) => (error === null ? arrived.resolve() : arrived.reject(error)),
  });
  const timer = setTimeout(() => arrived.reject(new Error('no answer')), connectMs);
  try {
    await arrived.promise;
  } catch (error) {
    await link.close();
    const why =
      certificateProblem(error) ??
      `${(error as Error).message}
Is it running, and are host, port and password in REDIS_URL right?`;
    throw new StartError(`cannot use Redis at ${maskUrl(config.redisUrl)}: ${why}`, { cause: error, mayPass: true });
  } finally {
    clearTimeout(timer);
  }
  return {
    live: liveSessions(link, { ttlMs: config.sessionTtlMs }),
    eraseSessions: (userId, known) => eraseSessions(link, userId, known),
    facts: () => redisFacts(link),
    close: () => link.close(),
  };
}
