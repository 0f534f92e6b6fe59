import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, ConfigError } from '../src/config.ts';
import { httpUrl } from '../src/runtime/http/index.ts';
import { settings } from '../src/settings.ts';
import { threadsEach } from '../src/start/lean-start.ts';
import { counted } from '../src/terminal/print.ts';
import { checkSettings } from './check-settings.ts';
import { takeLock } from './lock.ts';
import { placesOf } from './places.ts';
import { findServers, freePort, type Say } from './servers/index.ts';

export const root = fileURLToPath(new URL('..', import.meta.url));
const home = join(root, '.afterword');
const lock = join(home, 'up.pid');
/** The settings of the running fleet, which scripts/afterword reads so that its commands find the servers. */
const runningEnv = join(home, 'running.env');
/** So that settings which need one can be checked before it is started. */
const noRedisYet = 'redis://127.0.0.1';
const { checkout, data } = placesOf(root, process.env);

type Local = {
  readonly url: string;
  /** How many of each, for people. */
  readonly members: string;
  readonly ended: Promise<number>;
  stop(): Promise<void>;
};

/**
 * Starts everything on this machine: servers, schema, fleet. Resolves when the fleet is up.
 * @param env  the environment of the fleet, without the servers found here. Checked before anything is started.
 * @throws {ConfigError} or {Error} that says what went wrong, or the reason of `stop`; stops everything first.
 */
export async function startLocal(options: {
  readonly env: NodeJS.ProcessEnv;
  /** With a Redis. One that `env` names is used in any case. */
  readonly withSessions?: boolean;
  readonly say: Say;
  readonly stop: AbortSignal;
}): Promise<Local> {
  const { say, stop } = options;
  const given = options.withSessions
    ? { ...options.env, REDIS_URL: options.env['REDIS_URL'] || noRedisYet }
    : options.env;
  const config = await checkSettings(given, stop);
  await mkdir(home, { recursive: true });
  await mkdir(data, { recursive: true });
  await takeLock(lock);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(lock, { force: true }));
  const port = await findPort(options.env, say);
  const where = { folder: data, volumes: checkout, rights: 'own', say } as const;
  const found = await findServers(['database', 'broker'], where);
  undo.defer(async () => {
    say('stopping the servers');
    await Promise.all([found.database.server.dispose(), found.broker.server.dispose()]);
  });
  const redis =
    options.withSessions || options.env['REDIS_URL'] ? (await findServers(['redis'], where)).redis.server : null;
  undo.defer(async () => redis?.dispose());

  stop.throwIfAborted();
  const env: NodeJS.ProcessEnv = {
    ...options.env,
    DATABASE_URL: found.database.server.url,
    RABBITMQ_URL: found.broker.server.url,
    ...(redis !== null && { REDIS_URL: redis.url }),
    PORT: String(port),
  };

  await writeFile(runningEnv, envFile(env, config), { mode: 0o600 });
  undo.defer(() => rm(runningEnv, { force: true }));

  say('schema      bringing up to date');
  const migrated = await exitCode(afterword(['migrate'], { ...env, LOG_LEVEL: 'warn' }));
  if (migrated !== 0) throw new Error('the schema could not be brought up to date; the lines above say why');

  stop.throwIfAborted();
  say(`fleet       starting ${counted(config.apiReplicas, 'API')} and ${counted(config.workerReplicas, 'worker')}`);
  // AFTERWORD_ROLE: the fleet logs its configuration at `debug`, so that it does not bury the lines above.
  const fleet = afterword(['fleet'], { ...env, AFTERWORD_ROLE: 'fleet' });
  const ended = exitCode(fleet);
  undo.defer(async () => {
    if (fleet.exitCode === null && fleet.signalCode === null) fleet.kill('SIGTERM');
    await ended;
  });
  const ready = new Promise<true>((resolve) => fleet.on('message', () => resolve(true)));
  const first = await Promise.race([ready, ended, untilAborted(stop)]);
  stop.throwIfAborted();
  if (first !== true) throw new Error('the fleet did not start; the lines above say why');

  const stack = undo.move();
  const members = [counted(config.apiReplicas, 'API'), counted(config.workerReplicas, 'worker')].join(' · ');
  return { url: httpUrl(config.host, port), members, ended, stop: () => stack.disposeAsync() };
}

/** The settings of the fleet that are not left at their defaults, so that tools see the same ones. */
function envFile(env: NodeJS.ProcessEnv, config: Config): string {
  const given: NodeJS.ProcessEnv = {
    ...env,
    SCORING_THREADS: String(threadsEach(config, env)),
    // An absolute path, because tools may be called from another folder.
    SCORER_MODULE: config.scorerModule === null ? '' : resolve(root, config.scorerModule),
    RESPONDER_MODULE: config.responderModule === null ? '' : resolve(root, config.responderModule),
  };
  return Object.keys(settings)
    .flatMap((name) => (given[name] ? [`${name}=${quoted(given[name])}\n`] : []))
    .join('');
}

/** Quotes a value for `node --env-file`. */
function quoted(value: string): string {
  if (/^[^\s'"`#]*$/.test(value)) return value;
  return value.includes("'") ? `"${value}"` : `'${value}'`;
}

/** A port that was asked for must be free; the default is replaced by a free one. @throws {ConfigError} */
async function findPort(env: NodeJS.ProcessEnv, say: Say): Promise<number> {
  const wanted = Number(env['PORT'] || 3000);
  const port = await freePort(wanted);
  if (port === wanted || wanted === 0) return port;
  if (env['PORT'])
    throw new ConfigError(
      `PORT ${wanted} is in use: stop the process that listens there, or choose another (0 picks a free one)`,
    );
  say(`port        ${wanted} is in use; the API gets ${port} (set PORT to choose another)`);
  return port;
}

function afterword(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, [join(root, 'src/main.ts'), ...args], {
    cwd: root,
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // A terminal's Ctrl-C reaches only us; we stop the fleet before its servers.
    detached: true,
  });
}

function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Ctrl-C or SIGTERM stops everything in order, even in the middle of a start. */
export function stopOnSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  return stop.signal;
}
