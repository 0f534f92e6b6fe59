import { type Config, maskUrl } from '../config.ts';
import { certificateProblem } from '../runtime/certificate-problem.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError, StoppedError } from '../runtime/start-error.ts';
import { createBackoff, pause } from '../runtime/wait.ts';
import { maxConnections, missingRight, needsMigration, openStore, probeWrites, type Store } from '../store/index.ts';
import { statementDeadlineMs } from './limits.ts';

/**
 * Connects to the database, waiting up to `START_DEADLINE_MS` for it.
 * @throws {StartError} that says what was tried and what to do. @throws {StoppedError} if `stop` fires first.
 */
export async function openDatabase(
  config: Config,
  log: Logger,
  stop: AbortSignal,
  acceptConnections = 0,
): Promise<Store> {
  const url = maskUrl(config.databaseUrl);
  const until = performance.now() + config.startDeadlineMs;
  const backoff = createBackoff(200, 3_000);
  for (;;) {
    try {
      const store = await openStore(config.databaseUrl, {
        poolSize: config.databasePoolSize,
        acceptConnections,
        connectTimeoutMs: 5_000,
        stop,
      });
      log.info({ database: url }, 'database connected');
      return store;
    } catch (error) {
      const { code, errno } = error as { code?: string; errno?: number };
      const untrusted = certificateProblem(error);
      const hasNoTls = code === 'HANDSHAKE_NO_SSL_SUPPORT';
      // Wrong password, unknown database: waiting does not help.
      const hopeless = errno === 1044 || errno === 1045 || errno === 1049 || untrusted !== null || hasNoTls;
      if (stop.aborted) throw new StoppedError('stopped while waiting for the database', { cause: error });
      if (hopeless || performance.now() > until) {
        throw new StartError(databaseHelp(url, code ?? String(error), untrusted), { cause: error, mayPass: !hopeless });
      }
      const waitMs = backoff.next();
      log.warn({ err: error, waitMs }, 'database not reachable yet');
      await pause(waitMs, stop);
    }
  }
}

function databaseHelp(url: string, code: string, untrusted: string | null): string {
  if (untrusted !== null) return `cannot use the database ${url}: ${untrusted}`;
  if (code === 'HANDSHAKE_NO_SSL_SUPPORT')
    return `cannot use the database ${url}: it has no TLS. Give it a certificate, or remove tls=true from DATABASE_URL`;
  return (
    `cannot use the database ${url} (${code})\n` +
    'Is the server running, and are host, port, user, password and database name in DATABASE_URL right?\n' +
    'If you have no servers, `scripts/up` starts some.'
  );
}

/**
 * `openDatabase` for a process that serves: schema and rights are checked, too.
 * @throws {StartError} that says what to do. @throws {StoppedError}
 */
export async function openServingDatabase(
  config: Config,
  log: Logger,
  stop: AbortSignal,
  acceptConnections = 0,
): Promise<Store> {
  const store = await openDatabase(config, log, stop, acceptConnections);
  try {
    await requireSchema(store);
    await requireRights(store, log);
    await checkConnectionBudget(config, store, log);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** @throws {StartError} if the schema is older than this version. */
async function requireSchema(store: Store): Promise<void> {
  if (await needsMigration(store, statementDeadlineMs)) throw schemaIsOld();
}

/**
 * @throws {StartError} if the user of `DATABASE_URL` lacks a right that this process needs. A read-only server is only
 *   logged, because it may accept writes later.
 */
async function requireRights(store: Store, log: Logger): Promise<void> {
  try {
    await probeWrites(store, statementDeadlineMs);
  } catch (error) {
    const missing = missingRight(error);
    if (missing !== null) throw new StartError(missingRightHelp(missing), { cause: error });
    log.warn({ err: error }, 'the database refuses writes: nothing is accepted or settled until it takes them again');
  }
}

function missingRightHelp(missing: string): string {
  return (
    `the database user lacks a right that this process needs (${missing}): ` +
    'GRANT SELECT, INSERT, UPDATE ON the database of DATABASE_URL to it'
  );
}

export function schemaIsOld(): StartError {
  return new StartError('the database schema is not up to date: run `afterword migrate` first');
}

/** Warns when the fleet may open more connections than the server admits. */
async function checkConnectionBudget(config: Config, store: Store, log: Logger): Promise<void> {
  const admitted = await maxConnections(store, statementDeadlineMs);
  const needed = (config.workerReplicas + config.apiReplicas) * config.databasePoolSize;
  if (needed > admitted) {
    log.warn(
      {
        needed,
        admitted,
        replicas: config.workerReplicas,
        apis: config.apiReplicas,
        pool: config.databasePoolSize,
      },
      'API_REPLICAS apis and WORKER_REPLICAS workers, with DATABASE_POOL_SIZE connections each, may exceed ' +
        'max_connections: lower DATABASE_POOL_SIZE or raise max_connections',
    );
  }
}
