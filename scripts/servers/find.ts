import { join } from 'node:path';
import { dockerObstacle, images, startDockerServer } from './docker.ts';
import { installPackage } from './install.ts';
import { passwordOf } from './password.ts';
import { findBrokerProgram, startPrivateBroker } from './private-broker.ts';
import { findDatabaseProgram, startPrivateDatabase } from './private-database.ts';
import { findRedisProgram, startPrivateRedis } from './private-redis.ts';
import type { Broker, Kind, Redis, RedisArgs, Rights, Say, ServerOf } from './server.ts';
import { noteOf, readTaken, whyNotDocker, writeTaken } from './taken.ts';

const variables = { database: 'DATABASE_URL', broker: 'RABBITMQ_URL', redis: 'REDIS_URL' } as const satisfies Record<
  Kind,
  string
>;
const packages = {
  database: 'mariadb-server',
  broker: 'rabbitmq-server',
  redis: 'redis-server',
} as const satisfies Record<Kind, string>;
const findInstalled = {
  database: findDatabaseProgram,
  broker: findBrokerProgram,
  redis: findRedisProgram,
} as const;

type Found<K extends Kind = Kind> = {
  readonly server: ServerOf[K];
  readonly how: 'named' | 'docker' | 'private';
};

/**
 * Finds a database, a broker or a Redis, and says which it uses and why: those named in the environment, else Docker if
 * an engine answers and has (or can pull) the images, else private instances of the installed servers, which it
 * installs if they are missing. `AFTERWORD_SERVERS=docker|private` chooses between the last two. If data are kept, the
 * kind that has them is used again.
 *
 * @param options.folder  where private instances keep their data, and our password for the servers.
 * @param options.volumes  prefix of the Docker volumes that keep the data; null: no data are kept.
 * @param options.rights  of the database user in the URL; default: `all`.
 * @throws {Error} that says what was tried and what to do.
 */
export async function findServers<K extends Kind>(
  kinds: readonly K[],
  options: {
    readonly folder: string;
    readonly volumes: string | null;
    readonly say: Say;
    readonly ignoreNamed?: boolean;
    /** More arguments for a Redis that is started on this port. */
    readonly redisArgs?: RedisArgs;
    /** More arguments for a private database. */
    readonly databaseArgs?: readonly string[];
    readonly rights?: Rights;
  },
): Promise<{ [P in K]: Found<P> }> {
  const { say } = options;
  const wish = process.env['AFTERWORD_SERVERS'] || null;
  if (wish !== null && wish !== 'docker' && wish !== 'private')
    throw new Error(`AFTERWORD_SERVERS must be docker or private, not ${wish}`);
  const found: Partial<Record<Kind, Found>> = {};
  const missing: Kind[] = [];
  for (const kind of kinds) {
    const url = options.ignoreNamed ? '' : (process.env[variables[kind]] ?? '');
    if (url === '') missing.push(kind);
    else {
      say(`${kind.padEnd(10)}  the one named in ${variables[kind]}`);
      found[kind] = { server: namedServer(url), how: 'named' };
    }
  }
  if (missing.length > 0) {
    const kept = options.volumes === null ? null : await readTaken(options.folder);
    const obstacle = await whyNotDocker(wish, kept, noteOf(options.folder), () => dockerObstacle(missing, say));
    const how = obstacle === null ? 'docker' : 'private';
    const password = await passwordOf(options.folder);
    const rights = options.rights ?? 'all';
    const redisArgs = options.redisArgs ?? (() => []);
    const started = await Promise.allSettled(
      missing.map(async (kind) => {
        const began = performance.now();
        const server =
          how === 'docker'
            ? await startDockerServer(kind, {
                volume: options.volumes && `${options.volumes}-${kind}`,
                password,
                rights,
                redisArgs,
              })
            : await privateServer(kind, {
                folder: join(options.folder, kind),
                databaseArgs: options.databaseArgs ?? [],
                ...{ password, rights, redisArgs, say },
              });
        found[kind] = { server, how };
        const what = obstacle === null ? `${images[kind]} in Docker` : `a private instance (${obstacle})`;
        say(`${kind.padEnd(10)}  ${what}, ready after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
      }),
    );
    const failure = started.find((s) => s.status === 'rejected');
    if (failure) {
      await Promise.allSettled(missing.map((kind) => found[kind]?.server.dispose()));
      throw failure.reason;
    }
    if (options.volumes !== null) await writeTaken(options.folder, how);
  }
  return found as { [P in K]: Found<P> };
}

async function privateServer(
  kind: Kind,
  {
    folder,
    password,
    rights,
    redisArgs,
    databaseArgs,
    say,
  }: {
    folder: string;
    password: string;
    rights: Rights;
    redisArgs: RedisArgs;
    databaseArgs: readonly string[];
    say: Say;
  },
): Promise<ServerOf[Kind]> {
  if ((await findInstalled[kind]()) === null)
    await installPackage(packages[kind], {
      what: kind,
      otherwise: `name a running server in ${variables[kind]}, or start Docker`,
      say,
    });
  switch (kind) {
    case 'database':
      return startPrivateDatabase(folder, password, rights, databaseArgs);
    case 'broker':
      return startPrivateBroker(folder, password);
    case 'redis':
      return startPrivateRedis(folder, password, redisArgs);
  }
}

/** A server that we did not start, so we never stop it. */
function namedServer(url: string): Broker & Redis {
  const notOurs = () => Promise.reject(new Error('this server was named in the environment; it is not ours to stop'));
  return {
    url,
    stop: notOurs,
    kill: notOurs,
    start: notOurs,
    wipe: notOurs,
    ctl: notOurs,
    cli: notOurs,
    dispose: async () => {},
  };
}
