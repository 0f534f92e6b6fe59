import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GenericContainer } from 'testcontainers';
import { vi } from 'vitest';
import {
  freePort,
  images,
  probes,
  startPrivateBroker,
  startPrivateDatabase,
  startPrivateRedis,
} from '../../scripts/servers/index.ts';

/** Servers that also speak TLS, with a certificate for `localhost` and 127.0.0.1 by the authority in `caFile`. */
export type TlsServers = AsyncDisposable & {
  readonly caFile: string;
  /** Without TLS, for a test's own use. */
  readonly plain: { readonly database: string; readonly rabbitmq: string };
  /** At these, broker and Redis speak nothing but TLS; the database leaves it to the user. */
  readonly urls: { readonly database: string; readonly rabbitmq: string; readonly redis: string };
};

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const caFile = fixture('ca.pem');
const password = 'of-servers-with-tls';

export function startTlsServers(how: 'docker' | 'private'): Promise<TlsServers> {
  return how === 'docker' ? inDocker() : asProcesses();
}

/** @param at  where the server finds ca.pem, one.pem and one.key. */
const settings = {
  database: (at: (name: string) => string) => [
    `--ssl-ca=${at('ca.pem')}`,
    `--ssl-cert=${at('one.pem')}`,
    `--ssl-key=${at('one.key')}`,
  ],
  broker: (at: (name: string) => string, listener: string) => [
    `listeners.ssl.1 = ${listener}`,
    `ssl_options.cacertfile = ${at('ca.pem')}`,
    `ssl_options.certfile = ${at('one.pem')}`,
    `ssl_options.keyfile = ${at('one.key')}`,
    'ssl_options.verify = verify_none',
    'ssl_options.fail_if_no_peer_cert = false',
  ],
  redis: (at: (name: string) => string, port: number) => [
    ...['--tls-port', String(port), '--tls-auth-clients', 'no'],
    ...['--tls-ca-cert-file', at('ca.pem'), '--tls-cert-file', at('one.pem'), '--tls-key-file', at('one.key')],
  ],
};

async function asProcesses(): Promise<TlsServers> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-tls-'));
  const [amqps, rediss] = [await freePort(), await freePort()];
  const [database, broker, redis] = await Promise.all([
    startPrivateDatabase(join(folder, 'database'), password, 'all', settings.database(fixture)),
    startPrivateBroker(join(folder, 'broker'), password, {
      settings: settings.broker(fixture, `127.0.0.1:${amqps}`),
    }),
    startPrivateRedis(join(folder, 'redis'), password, () => settings.redis(fixture, rediss)),
  ]);
  return {
    caFile,
    plain: { database: database.url, rabbitmq: broker.url },
    urls: addresses({ database: Number(new URL(database.url).port), amqps, rediss }, 'afterword'),
    async [Symbol.asyncDispose]() {
      await Promise.all([database.dispose(), broker.dispose(), redis.dispose()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function inDocker(): Promise<TlsServers> {
  const [mysql, amqp, amqps, rediss] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const files = await Promise.all(
    ['ca.pem', 'one.pem', 'one.key'].map(async (name) => ({
      content: await readFile(fixture(name)),
      target: `/tls/${name}`,
      mode: 0o644,
    })),
  );
  const at = (name: string) => `/tls/${name}`;
  const conf = { content: settings.broker(at, '5671').join('\n'), target: '/etc/rabbitmq/conf.d/90-tls.conf' };
  const started = await Promise.all([
    new GenericContainer(images.database)
      .withEnvironment({ MYSQL_ROOT_PASSWORD: password, MYSQL_DATABASE: 'afterword' })
      .withCommand(settings.database(at))
      .withCopyContentToContainer(files)
      .withExposedPorts({ container: 3306, host: mysql })
      .start(),
    new GenericContainer(images.broker)
      .withEnvironment({ RABBITMQ_DEFAULT_USER: 'root', RABBITMQ_DEFAULT_PASS: password })
      .withCopyContentToContainer([...files, { ...conf, mode: 0o644 }])
      .withExposedPorts({ container: 5672, host: amqp }, { container: 5671, host: amqps })
      .start(),
    new GenericContainer(images.redis)
      .withCommand(['redis-server', '--requirepass', password, ...settings.redis(at, 6380)])
      .withCopyContentToContainer(files)
      .withExposedPorts({ container: 6380, host: rediss })
      .start(),
  ]);
  const plain = {
    database: `mysql://root:${password}@127.0.0.1:${mysql}/afterword`,
    rabbitmq: `amqp://root:${password}@127.0.0.1:${amqp}`,
  };
  const options = { timeout: 120_000, interval: 250 };
  await vi.waitFor(() => Promise.all([probes.database(plain.database), probes.broker(plain.rabbitmq)]), options);
  return {
    caFile,
    plain,
    urls: addresses({ database: mysql, amqps, rediss }, 'root'),
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map((container) => container.stop({ removeVolumes: true })));
    },
  };
}

function addresses(ports: { database: number; amqps: number; rediss: number }, user: string): TlsServers['urls'] {
  return {
    database: `mysql://${user}:${password}@localhost:${ports.database}/afterword?tls=true`,
    rabbitmq: `amqps://${user}:${password}@localhost:${ports.amqps}`,
    redis: `rediss://:${password}@localhost:${ports.rediss}`,
  };
}
