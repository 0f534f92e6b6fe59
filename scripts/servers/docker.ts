import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { MySqlContainer } from '@testcontainers/mysql';
import { RabbitMQContainer } from '@testcontainers/rabbitmq';
import { GenericContainer, getContainerRuntimeClient, ImageName, type StartedTestContainer } from 'testcontainers';
import { durable } from './private-redis.ts';
import { probes } from './probe.ts';
import { freePort } from './process.ts';
import {
  type Broker,
  grants,
  type Kind,
  type Redis,
  type RedisArgs,
  type Rights,
  type Say,
  type Server,
  type ServerOf,
} from './server.ts';

/** The same images as in docker-compose.yml. */
export const images = {
  database: 'mysql:8.4',
  broker: 'rabbitmq:4-management',
  redis: 'redis:8-alpine',
} as const satisfies Record<Kind, string>;

const pullLimitMs = 180_000;
/** 200 ms apart. */
const maxProbes = 600;

/** Why Docker cannot be used; null if an engine answers and the images are present or could be pulled. */
export async function dockerObstacle(kinds: readonly Kind[], say: Say): Promise<string | null> {
  const client = await getContainerRuntimeClient().catch(() => null);
  if (client === null) return 'no Docker engine answers';
  for (const kind of kinds) {
    const image = ImageName.fromString(images[kind]);
    if (await client.image.exists(image)) continue;
    say(`Docker has no ${images[kind]}; pulling it`);
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('too slow')), pullLimitMs).unref());
    const pulled = await Promise.race([client.image.pull(image, { force: false, platform: undefined }), late]).then(
      () => true,
      () => false,
    );
    if (!pulled) return `Docker answers, but has no ${images[kind]} and cannot pull it`;
  }
  // The helper that removes orphaned containers is a separate image; without it we remove ours ourselves.
  if (!(await client.image.exists(ImageName.fromString('testcontainers/ryuk:0.14.0'))))
    process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  return null;
}

/**
 * @param volume  name of the Docker volume that keeps the data, and of its container; null: the data are removed with
 *                the container. A container that a killed owner left on the volume is removed first: the caller holds
 *                the lock, so it is not in use.
 */
export async function startDockerServer(
  kind: Kind,
  options: {
    readonly volume: string | null;
    readonly password: string;
    readonly rights: Rights;
    readonly redisArgs: RedisArgs;
  },
): Promise<ServerOf[Kind]> {
  const { volume } = options;
  if (volume !== null) {
    const { container } = await getContainerRuntimeClient();
    await container
      .getById(volume)
      .remove({ force: true })
      .catch(() => {});
  }
  switch (kind) {
    case 'database':
      return startDatabase(volume, options.password, options.rights);
    case 'broker':
      return startBroker(volume, options.password);
    case 'redis':
      return startRedis(volume, options.password, options.redisArgs);
  }
}

async function startDatabase(volume: string | null, password: string, rights: Rights): Promise<Server> {
  const port = await freePort();
  const container = await keepData(
    new LocalMySql(images.database)
      .withDatabase('afterword')
      .withUsername('afterword')
      .withUserPassword(password)
      .withRootPassword(password)
      .withExposedPorts({ container: 3306, host: port }),
    volume,
    '/var/lib/mysql',
  ).start();
  const granted = await container.exec(['mysql', '-uroot', `-p${password}`, '-e', grants(rights).join(';')]);
  if (granted.exitCode !== 0) {
    await container.stop();
    throw new Error(
      `the database in Docker does not accept our password: ${granted.output.trim()}\n` +
        `Its data are older than .afterword/password. If you do not need them: docker volume rm ${volume}`,
    );
  }
  return controls('database', container, `mysql://afterword:${password}@${container.getHost()}:${port}/afterword`);
}

async function startBroker(volume: string | null, password: string): Promise<Broker> {
  const port = await freePort();
  const create = async () => {
    // A node keeps its data under its hostname, which must not change with the container.
    const image = new LocalRabbitMq(images.broker)
      .withHostname('afterword')
      .withEnvironment({ RABBITMQ_DEFAULT_USER: 'afterword', RABBITMQ_DEFAULT_PASS: password })
      .withExposedPorts({ container: 5672, host: port });
    const started = await keepData(image, volume, '/var/lib/rabbitmq').start();
    // The image sets the password only when it creates its user, and makes that user an administrator, which we do not
    // need.
    await started.exec(['rabbitmqctl', 'change_password', 'afterword', password]);
    await started.exec(['rabbitmqctl', 'set_user_tags', 'afterword']);
    return started;
  };
  const { server, url, exec } = await replaceable(
    'broker',
    create,
    (at) => `amqp://afterword:${password}@${at}:${port}`,
  );
  return {
    url,
    ...server,
    async ctl(...args) {
      return exec(['rabbitmqctl', ...args]);
    },
  };
}

/** A server that can lose its data: its container, with its anonymous volumes, is then replaced. */
async function replaceable(kind: Kind, create: () => Promise<StartedTestContainer>, urlAt: (host: string) => string) {
  let container = await create();
  const url = urlAt(container.getHost());
  let server = await controls(kind, container, url);
  return {
    url,
    server: {
      stop: () => server.stop(),
      kill: () => server.kill(),
      start: () => server.start(),
      dispose: () => server.dispose(),
      async wipe() {
        await server.kill().catch(() => {}); // it may be dead already
        await server.dispose();
        container = await create();
        server = await controls(kind, container, url);
      },
    },
    /** Runs a program in it. @returns what it printed. @throws if it fails. */
    async exec(command: readonly string[]): Promise<string> {
      const { exitCode, output } = await container.exec([...command]);
      if (exitCode !== 0) throw new Error(`${command[0]} failed: ${output}`);
      return output;
    },
  };
}

async function startRedis(volume: string | null, password: string, more: RedisArgs): Promise<Redis> {
  const port = await freePort();
  const { host } = (await getContainerRuntimeClient()).info.containerRuntime;
  const create = () =>
    keepData(
      new LocalContainer(images.redis)
        .withCommand(['redis-server', '--requirepass', password, ...durable, ...more(host, port)])
        .withExposedPorts({ container: 6379, host: port }),
      volume,
      '/data',
    ).start();
  const { server, url, exec } = await replaceable('redis', create, (at) => `redis://:${password}@${at}:${port}`);
  return {
    url,
    ...server,
    async cli(...args) {
      return exec(['redis-cli', '--no-auth-warning', '-a', password, ...args]);
    },
  };
}

/** Unless it is given an address, Docker publishes a port on all addresses of its host, past the host's firewall. */
async function publishHereOnly(bindings: Record<string, { HostIp?: string; HostPort?: string }[]>): Promise<void> {
  const { hostIps } = (await getContainerRuntimeClient()).info.containerRuntime;
  const ours = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address));
  const isOurs = ({ address }: { readonly address: string }) => ours.includes(address);
  // Loopback; or, if we run in a container and use the engine of our host, the bridge between them. A remote engine is
  // reached at an address that is not ours.
  const isElsewhere = /^(tcp|https?|ssh):/.test(process.env['DOCKER_HOST'] ?? '');
  const here =
    hostIps.find((ip) => ip.family === 4 && isOurs(ip)) ??
    hostIps.find(isOurs) ??
    (isElsewhere ? undefined : hostIps.find((ip) => ip.family === 4));
  if (here !== undefined) for (const binding of Object.values(bindings).flat()) binding.HostIp = here.address;
}

class LocalContainer extends GenericContainer {
  override async start() {
    await publishHereOnly(this.hostConfig.PortBindings);
    return super.start();
  }
}

class LocalMySql extends MySqlContainer {
  override async start() {
    await publishHereOnly(this.hostConfig.PortBindings);
    return super.start();
  }
}

export class LocalRabbitMq extends RabbitMQContainer {
  override async start() {
    await publishHereOnly(this.hostConfig.PortBindings);
    return super.start();
  }
}

function keepData<T extends GenericContainer>(container: T, volume: string | null, path: string): T {
  return volume === null
    ? container
    : (container.withName(volume).withBindMounts([{ source: volume, target: path, mode: 'rw' }]) as T);
}

async function controls(kind: Kind, container: StartedTestContainer, url: string): Promise<Server> {
  const client = await getContainerRuntimeClient();
  const raw = client.container.getById(container.getId());
  return {
    url,
    stop: () => raw.stop(),
    kill: () => raw.kill(),
    async start() {
      await raw.start();
      for (let tries = 1; ; tries++) {
        try {
          return await probes[kind](url);
        } catch (error) {
          if (tries === maxProbes) throw error;
          await delay(200);
        }
      }
    },
    async dispose() {
      await raw.stop().catch(() => {});
      // This also removes its anonymous volumes, but not named ones.
      await raw.remove({ v: true, force: true }).catch(() => {});
    },
  };
}
