import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { probes } from './probe.ts';
import { findProgram, freePort, type Leashed, startLeashed, untilAnswers } from './process.ts';
import type { Broker } from './server.ts';

const run = promisify(execFile);

/** Finds the server itself, not the wrapper in /usr/sbin, which insists on root or the rabbitmq user. */
export function findBrokerProgram(): Promise<string | null> {
  return findProgram('rabbitmq-server', ['/usr/lib/rabbitmq/bin', '/usr/local/lib/rabbitmq/bin']);
}

/**
 * A node of a cluster. Nodes of one cluster share the port of one epmd (which the first to start runs) and the cookie
 * in one home directory.
 */
type ClusterNode = {
  readonly name: string;
  readonly home: string;
  readonly epmdPort: number;
  readonly bringsEpmd: boolean;
};

/**
 * A private RabbitMQ with its own data, cookie and name resolution (epmd) in `folder`, on loopback only, on its own
 * ports. We start epmd too, also on a leash: one that RabbitMQ starts would outlive it.
 *
 * @param options.settings  more lines of `rabbitmq.conf`.
 */
export async function startPrivateBroker(
  folder: string,
  password: string,
  { node, settings: more = [] }: { readonly node?: ClusterNode; readonly settings?: readonly string[] } = {},
): Promise<Broker> {
  const program = await findBrokerProgram();
  const epmdProgram = await findProgram('epmd');
  if (program === null || epmdProgram === null) throw new Error('rabbitmq-server is not installed');
  await mkdir(folder, { recursive: true });
  const logPath = join(folder, 'server.log');
  const portPath = join(folder, 'port');
  const port = await freePort(Number(await readFile(portPath, 'utf8').catch(() => '0')));
  await writeFile(portPath, String(port));
  const [distribution, epmdPort] = [await freePort(), node?.epmdPort ?? (await freePort())];
  const config = join(folder, 'rabbitmq.conf');
  const definitions = join(folder, 'definitions.json');
  const settings = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    `load_definitions = ${definitions}`,
    'loopback_users.afterword = true',
    ...more,
  ];
  // Loaded at every start, so that existing data get this password too.
  const user = { name: 'afterword', password, tags: '' };
  const permissions = { user: user.name, vhost: '/', configure: '.*', write: '.*', read: '.*' };
  const defined = { users: [user], vhosts: [{ name: '/' }], permissions: [permissions] };
  await writeFile(definitions, JSON.stringify(defined), { mode: 0o600 });
  await writeFile(config, settings.map((setting) => `${setting}\n`).join(''), { mode: 0o600 });
  const plugins = join(folder, 'plugins');
  await writeFile(plugins, '[].\n');
  const env = {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: node?.home ?? folder,
    RABBITMQ_NODENAME: `${node?.name ?? 'afterword'}@localhost`,
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: config,
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_DIST_PORT: String(distribution),
    // Idle schedulers must not spin, as they would take the cores from what is being tested, and the port for other
    // nodes must not be open to the network.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  const url = `amqp://afterword:${password}@127.0.0.1:${port}`;
  let server: Leashed;
  let epmd: Leashed | undefined;

  async function start(): Promise<void> {
    const logFd = openSync(logPath, 'a');
    if (node?.bringsEpmd !== false) {
      epmd ??= startLeashed(epmdProgram as string, ['-address', '127.0.0.1', '-port', String(epmdPort)], {
        env,
        logFd,
      });
    }
    server = startLeashed(program as string, [], { env, logFd });
    await untilAnswers(() => probes.broker(url), { what: 'the private RabbitMQ', withinMs: 120_000, server, logPath });
  }

  async function stop(): Promise<void> {
    await server.terminate();
    await endEpmd((own) => own.terminate());
  }

  async function kill(): Promise<void> {
    await server.kill();
    await endEpmd((own) => own.kill());
  }

  /** A cluster's epmd also serves the other nodes, so it runs until the end, when its leash stops it. */
  async function endEpmd(how: (epmd: Leashed) => Promise<void>): Promise<void> {
    if (node !== undefined || epmd === undefined) return;
    await how(epmd);
    epmd = undefined;
  }

  await start();
  return {
    url,
    start,
    stop,
    async dispose() {
      await stop();
      await epmd?.terminate();
    },
    kill,
    async wipe() {
      await kill();
      await rm(join(folder, 'data'), { recursive: true, force: true });
      await start();
    },
    // From the server's own folder: the wrapper in PATH insists on root or the rabbitmq user.
    ctl: async (...args) => (await run(join(dirname(program), 'rabbitmqctl'), args, { env })).stdout,
  };
}
