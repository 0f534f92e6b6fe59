import { setTimeout as delay } from 'node:timers/promises';
import { MySqlContainer } from '@testcontainers/mysql';
import { RabbitMQContainer } from '@testcontainers/rabbitmq';
import { type GenericContainer, getContainerRuntimeClient, ImageName, type StartedTestContainer } from 'testcontainers';
import { probes } from './probe.ts';
import { freePort } from './process.ts';
import type { Broker, Kind, Say, Server, ServerOf } from './server.ts';

/** What compose uses, too. */
export const images = { database: 'mysql:8.4', broker: 'rabbitmq:4-management' } as const satisfies Record<Kind, string>;

const pullLimitMs = 180_000;
/** 200 ms apart. */
const maxProbes = 600;

/** Why Docker cannot serve; null if it can: an engine answers, and the images are there or were pulled now. */
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
    if (!pulled) return `Docker answers, but ${images[kind]} is not there and cannot be pulled`;
  }
  // The helper that removes forgotten containers is an image of its own; without it we remove ours ourselves.
  if (!(await client.image.exists(ImageName.fromString('testcontainers/ryuk:0.14.0'))))
    process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  return null;
}

/**
 * @param volume  name of a Docker volume that keeps the data, and of the container on it; null: the data go with the container.
 *                One that a killed owner left behind on the volume is removed first: the caller holds the lock, so nobody uses it.
 */
export async function startDockerServer(kind: Kind, volume: string | null): Promise<ServerOf[Kind]> {
  if (volume !== null) {
    const { container } = await getContainerRuntimeClient();
    await container
      .getById(volume)
      .remove({ force: true })
      .catch(() => {});
  }
  return kind === 'database' ? startDatabase(volume) : startBroker(volume);
}

async function startDatabase(volume: string | null): Promise<Server> {
  const port = await freePort();
  const container = await keepData(
    new MySqlContainer(images.database)
      .withDatabase('afterword')
      .withUsername('afterword')
      .withUserPassword('afterword')
      .withRootPassword('afterword')
      .withExposedPorts({ container: 3306, host: port }),
    volume,
    '/var/lib/mysql',
  ).start();
  const grant = await container.exec(['mysql', '-uroot', '-pafterword', '-e', "GRANT ALL ON *.* TO 'afterword'@'%' WITH GRANT OPTION"]);
  if (grant.exitCode !== 0) throw new Error(`the database in Docker refuses the grant: ${grant.output}`);
  return controls('database', container, `mysql://afterword:afterword@${container.getHost()}:${port}/afterword`);
}

async function startBroker(volume: string | null): Promise<Broker> {
  const port = await freePort();
  const create = () =>
    keepData(
      // A node's data are under its host's name: it must not change with the container.
      new RabbitMQContainer(images.broker).withHostname('afterword').withExposedPorts({ container: 5672, host: port }),
      volume,
      '/var/lib/rabbitmq',
    ).start();
  let container = await create();
  const url = `amqp://guest:guest@${container.getHost()}:${port}`;
  let server = await controls('broker', container, url);
  return {
    url,
    stop: () => server.stop(),
    kill: () => server.kill(),
    start: () => server.start(),
    dispose: () => server.dispose(),
    async wipe() {
      await server.kill().catch(() => {}); // it may be dead already
      await server.dispose();
      container = await create();
      server = await controls('broker', container, url);
    },
    async ctl(...args) {
      const { exitCode, output } = await container.exec(['rabbitmqctl', ...args]);
      if (exitCode !== 0) throw new Error(`rabbitmqctl ${args.join(' ')}: ${output}`);
      return output;
    },
  };
}

function keepData<T extends GenericContainer>(container: T, volume: string | null, path: string): T {
  return volume === null ? container : (container.withName(volume).withBindMounts([{ source: volume, target: path, mode: 'rw' }]) as T);
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
      // Only volumes without a name go with it.
      await raw.remove({ v: true, force: true }).catch(() => {});
    },
  };
}
