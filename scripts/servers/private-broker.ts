import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { probes } from './probe.ts';
import { findProgram, freePort, type Leashed, startLeashed, untilAnswers } from './process.ts';
import type { Broker } from './server.ts';

const run = promisify(execFile);

/** The server itself, not the wrapper in /usr/sbin, which insists on root or the rabbitmq user. */
export function findBrokerProgram(): Promise<string | null> {
  return findProgram('rabbitmq-server', ['/usr/lib/rabbitmq/bin', '/usr/local/lib/rabbitmq/bin']);
}

/**
 * A RabbitMQ of our own: data, cookie and name resolution (epmd) in and for `folder`, loopback only, ports of its own.
 * epmd is started by us, on a leash too: the one that RabbitMQ starts by itself would stay behind.
 */
export async function startPrivateBroker(folder: string): Promise<Broker> {
  const program = await findBrokerProgram();
  const epmdProgram = await findProgram('epmd');
  if (program === null || epmdProgram === null) throw new Error('rabbitmq-server is not installed');
  await mkdir(folder, { recursive: true });
  const logPath = join(folder, 'server.log');
  const portPath = join(folder, 'port');
  const port = await freePort(Number(await readFile(portPath, 'utf8').catch(() => '0')));
  await writeFile(portPath, String(port));
  const [distribution, epmdPort] = [await freePort(), await freePort()];
  const config = join(folder, 'rabbitmq.conf');
  await writeFile(config, `listeners.tcp.1 = 127.0.0.1:${port}\nloopback_users.guest = true\n`);
  const plugins = join(folder, 'plugins');
  await writeFile(plugins, '[].\n');
  const env = {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: folder,
    RABBITMQ_NODENAME: 'afterword@localhost',
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: config,
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_DIST_PORT: String(distribution),
    // Idle schedulers that spin would take the cores from what is being tried.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  let server: Leashed;
  let epmd: Leashed;

  async function start(): Promise<void> {
    const logFd = openSync(logPath, 'a');
    epmd = startLeashed(epmdProgram as string, ['-address', '127.0.0.1', '-port', String(epmdPort)], { env, logFd });
    server = startLeashed(program as string, [], { env, logFd });
    await untilAnswers(() => probes.broker(url), { what: 'the private RabbitMQ', withinMs: 120_000, server, logPath });
  }

  async function stop(): Promise<void> {
    await server.terminate();
    await epmd.terminate();
  }

  async function kill(): Promise<void> {
    await server.kill();
    await epmd.kill();
  }

  await start();
  return {
    url,
    start,
    stop,
    dispose: stop,
    kill,
    async wipe() {
      await kill();
      await rm(join(folder, 'data'), { recursive: true, force: true });
      await start();
    },
    // From the server's own folder, as the server: the wrapper in PATH insists on root or the rabbitmq user.
    ctl: async (...args) => (await run(join(dirname(program), 'rabbitmqctl'), args, { env })).stdout,
  };
}
