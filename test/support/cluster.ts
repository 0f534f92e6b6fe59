import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Network } from 'testcontainers';
import { freePort, images, LocalRabbitMq, startPrivateBroker } from '../../scripts/servers/index.ts';

/** A node that can be killed and started again. */
type Node = { readonly url: string; kill(): Promise<void>; start(): Promise<void>; dispose(): Promise<void> };
export type Cluster = { readonly nodes: readonly Node[]; dispose(): Promise<void> };

type Joining = Node & { ctl(...args: string[]): Promise<string> };

const names = ['one', 'two', 'three'] as const;
const password = 'of-a-cluster';

/** Three RabbitMQ nodes that know each other, in Docker or as processes. */
export async function startCluster(how: 'docker' | 'private'): Promise<Cluster> {
  return how === 'docker' ? inDocker() : asProcesses();
}

async function asProcesses(): Promise<Cluster> {
  const home = await mkdtemp(join(tmpdir(), 'afterword-cluster-'));
  const epmdPort = await freePort();
  const nodes: Joining[] = [];
  for (const [i, name] of names.entries()) {
    const folder = join(home, name);
    await mkdir(folder);
    nodes.push(await startPrivateBroker(folder, password, { node: { name, home, epmdPort, bringsEpmd: i === 0 } }));
  }
  await joinAll(nodes, 'one@localhost');
  return {
    nodes,
    async dispose() {
      // The first node started epmd, which the others need to leave in an orderly way.
      for (const node of nodes.toReversed()) await node.dispose();
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function inDocker(): Promise<Cluster> {
  const network = await new Network().start();
  const nodes: Joining[] = await Promise.all(
    names.map(async (name) => {
      const port = await freePort();
      const container = await new LocalRabbitMq(images.broker)
        .withHostname(name)
        .withNetwork(network)
        .withNetworkAliases(name)
        .withEnvironment({
          RABBITMQ_ERLANG_COOKIE: 'afterword',
          RABBITMQ_NODENAME: `rabbit@${name}`,
          RABBITMQ_DEFAULT_PASS: password,
        })
        .withExposedPorts({ container: 5672, host: port })
        .start();
      const { getContainerRuntimeClient } = await import('testcontainers');
      const raw = (await getContainerRuntimeClient()).container.getById(container.getId());
      return {
        url: `amqp://guest:${password}@${container.getHost()}:${port}`,
        kill: () => raw.kill().then(() => {}),
        start: () => raw.start().then(() => {}),
        async dispose() {
          await raw.remove({ v: true, force: true }).catch(() => {});
        },
        async ctl(...args) {
          const { exitCode, output } = await container.exec(['rabbitmqctl', ...args]);
          if (exitCode !== 0) throw new Error(`rabbitmqctl ${args.join(' ')}: ${output}`);
          return output;
        },
      };
    }),
  );
  await joinAll(nodes, 'rabbit@one');
  return {
    nodes,
    async dispose() {
      await Promise.all(nodes.map((node) => node.dispose()));
      await network.stop();
    },
  };
}

async function joinAll([, ...others]: readonly Joining[], first: string): Promise<void> {
  for (const node of others) {
    await node.ctl('stop_app');
    await node.ctl('join_cluster', first);
    await node.ctl('start_app');
  }
}
