import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, findServers, type Redis, type Server } from '../../scripts/servers/index.ts';

/** A database and a broker that a fault test may kill; never the ones named in the environment. */
export type OwnServers = {
  readonly database: Server;
  readonly broker: Broker;
  /** Null unless it was asked for. */
  readonly redis: Redis | null;
  dispose(): Promise<void>;
};

/** One more, for example to fail over to. */
export async function startOwnRedis(): Promise<{ readonly redis: Redis }> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-fault-'));
  const { redis } = await findServers(['redis'], { folder, volumes: null, say: () => {}, ignoreNamed: true });
  const { dispose } = redis.server;
  return {
    redis: {
      ...redis.server,
      async dispose() {
        await dispose();
        await rm(folder, { recursive: true, force: true });
      },
    },
  };
}

/** @param options.redisArgs  more arguments for Redis. */
export async function startOwnServers({
  withRedis = false,
  redisArgs = () => [],
}: {
  readonly withRedis?: boolean;
  readonly redisArgs?: (host: string, port: number) => readonly string[];
} = {}): Promise<OwnServers> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-fault-'));
  const options = { folder, volumes: null, say: () => {}, ignoreNamed: true, redisArgs };
  const found = await findServers(['database', 'broker'], options);
  const [database, broker] = [found.database.server, found.broker.server];
  const redis = withRedis ? (await findServers(['redis'], options)).redis.server : null;
  return {
    database,
    broker,
    redis,
    async dispose() {
      await Promise.all([database.dispose(), broker.dispose(), redis?.dispose()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
