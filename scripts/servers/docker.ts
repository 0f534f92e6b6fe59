import { MySqlContainer } from '@testcontainers/mysql';
import { RabbitMQContainer } from '@testcontainers/rabbitmq';
import { type GenericContainer, getContainerRuntimeClient, ImageName, type StartedTestContainer } from 'testcontainers';
import { freePort } from './process.ts';
import type { Kind, Say, Server } from './server.ts';

/** What compose uses, too. */
export const images = { database: 'mysql:8.4', broker: 'rabbitmq:4-management' } as const satisfies Record<Kind, string>;

const pullLimitMs = 180_000;

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

/** @param volume  name of a Docker volume that keeps the data; null: the data go with the container. */
export async function startDockerServer(kind: Kind, volume: string | null): Promise<Server> {
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
  const grant = await container.exec(['mysql', '-uroot', '-pafterword', '-e', "GRANT ALL ON *.* TO 'afterword'@'%'"]);
  if (grant.exitCode !== 0) throw new Error(`the database in Docker refuses the grant: ${grant.output}`);
  return controls(container, `mysql://afterword:afterword@${container.getHost()}:${port}/afterword`, port);
}

async function startBroker(volume: string | null): Promise<Server> {
  const port = await freePort();
  const container = await keepData(
    // A node's data are under its host's name: it must not change with the container.
    new RabbitMQContainer(images.broker).withHostname('afterword').withExposedPorts({ container: 5672, host: port }),
    volume,
    '/var/lib/rabbitmq',
  ).start();
  return controls(container, `amqp://guest:guest@${container.getHost()}:${port}`, port);
}

function keepData<T extends GenericContainer>(container: T, volume: string | null, path: string): T {
  return volume === null ? container : (container.withBindMounts([{ source: volume, target: path, mode: 'rw' }]) as T);
}

async function controls(container: StartedTestContainer, url: string, port: number): Promise<Server> {
  const client = await getContainerRuntimeClient();
  const raw = client.container.getById(container.getId());
  return {
    url,
    async stop() {
      await raw.stop().catch(() => {});
      await raw.remove({ v: true, force: true }).catch(() => {});
    },
    kill: () => raw.kill(),
    async start() {
      await raw.start();
      await waitForPort(container.getHost(), port);
    },
  };
}

async function waitForPort(host: string, port: number): Promise<void> {
  const { connect } = await import('node:net');
  const { setTimeout: delay } = await import('node:timers/promises');
  for (let i = 0; i < 600; i++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    await delay(100);
  }
  throw new Error(`${host}:${port} does not answer`);
}
