import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { dockerObstacle, images, startDockerServer } from './docker.ts';
import { findBrokerProgram, startPrivateBroker } from './private-broker.ts';
import { findDatabaseProgram, startPrivateDatabase } from './private-database.ts';
import { findProgram } from './process.ts';
import type { Broker, Kind, Say, ServerOf } from './server.ts';

const run = promisify(execFile);

const variables = { database: 'DATABASE_URL', broker: 'RABBITMQ_URL' } as const satisfies Record<Kind, string>;
const packages = { database: 'mariadb-server', broker: 'rabbitmq-server' } as const satisfies Record<Kind, string>;
const findInstalled = { database: findDatabaseProgram, broker: findBrokerProgram } as const;
const startPrivate = { database: startPrivateDatabase, broker: startPrivateBroker } as const;

export type Found<K extends Kind = Kind> = { readonly server: ServerOf[K]; readonly how: 'named' | 'docker' | 'private' };

/**
 * Finds a database and a broker, and says which it took and why: those named in the environment, else Docker if an engine
 * answers and has (or can pull) the images, else private instances of what is installed, else of what it installs now.
 * `AFTERWORD_SERVERS=docker|private` decides between the last ones by hand.
 *
 * @param options.folder  where private instances keep their data.
 * @param options.volumes  Docker volumes keep data under this prefix; null: no data are kept.
 * @throws {Error} that names what was tried and what to do.
 */
export async function findServers<K extends Kind>(
  kinds: readonly K[],
  options: { readonly folder: string; readonly volumes: string | null; readonly say: Say; readonly ignoreNamed?: boolean },
): Promise<{ [P in K]: Found<P> }> {
  const { say } = options;
  const wish = process.env['AFTERWORD_SERVERS'];
  if (wish !== undefined && wish !== '' && wish !== 'docker' && wish !== 'private') {
    throw new Error(`AFTERWORD_SERVERS must be docker or private, not ${wish}`);
  }
  const found: Partial<Record<Kind, Found>> = {};
  const missing: Kind[] = [];
  for (const kind of kinds) {
    const url = options.ignoreNamed ? '' : (process.env[variables[kind]] ?? '');
    if (url === '') missing.push(kind);
    else {
      say(`${kind}: the one named in ${variables[kind]}`);
      found[kind] = { server: namedServer(url), how: 'named' };
    }
  }
  if (missing.length > 0) {
    const obstacle = wish === 'private' ? 'AFTERWORD_SERVERS=private' : await dockerObstacle(missing, say);
    if (obstacle !== null && wish === 'docker') throw new Error(`AFTERWORD_SERVERS=docker, but: ${obstacle}`);
    const started = await Promise.allSettled(
      missing.map(async (kind) => {
        const began = performance.now();
        const server =
          obstacle === null
            ? await startDockerServer(kind, options.volumes && `${options.volumes}-${kind}`)
            : await privateServer(kind, options.folder, say);
        found[kind] = { server, how: obstacle === null ? 'docker' : 'private' };
        const what = obstacle === null ? `${images[kind]} in Docker` : `a private instance (${obstacle})`;
        say(`${kind}: ${what}, ready after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
      }),
    );
    const failure = started.find((s) => s.status === 'rejected');
    if (failure) {
      await Promise.allSettled(missing.map((kind) => found[kind]?.server.dispose()));
      throw failure.reason;
    }
  }
  return found as { [P in K]: Found<P> };
}

async function privateServer(kind: Kind, folder: string, say: Say): Promise<ServerOf[Kind]> {
  if ((await findInstalled[kind]()) === null) await install(kind, say);
  return startPrivate[kind](join(folder, kind));
}

let installing: Promise<unknown> = Promise.resolve();

/** One at a time: the system's package manager takes a lock. */
function install(kind: Kind, say: Say): Promise<void> {
  const job = installing.then(async () => {
    const byHand = `install ${packages[kind]} by hand, or name a running server in ${variables[kind]}, or start Docker`;
    const apt = await findProgram('apt-get');
    if (apt === null) throw new Error(`${kind}: nothing named, no Docker, nothing installed, and no apt-get here: ${byHand}`);
    const root = process.getuid?.() === 0;
    if (!root && (await findProgram('sudo')) === null) throw new Error(`${kind}: installing needs root: ${byHand}`);
    const [command, prefix] = root ? [apt, []] : ['sudo', ['-n', apt]];
    say(`${kind}: installing ${packages[kind]} with apt-get (about 20 s)`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    try {
      await run(command, [...prefix, 'update', '-qq'], { env });
      await run(command, [...prefix, 'install', '-qq', '-y', '--no-install-recommends', packages[kind]], { env, maxBuffer: 1e8 });
    } catch (cause) {
      throw new Error(`${kind}: ${packages[kind]} could not be installed; ${byHand}`, { cause });
    }
  });
  installing = job.catch(() => {});
  return job;
}

/** Somebody else's server: we never stop it. */
function namedServer(url: string): Broker {
  const notOurs = () => Promise.reject(new Error('this server was named in the environment; it is not ours to stop'));
  return { url, stop: notOurs, kill: notOurs, start: notOurs, wipe: notOurs, ctl: notOurs, dispose: async () => {} };
}
