import type { Publisher } from '../broker/index.ts';
import { type Config, maskedConfig, maskUrl } from '../config.ts';
import { createOutbox, type Outbox } from '../outbox/index.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { createBackoff, pause } from '../runtime/wait.ts';
import { deadlinesToEnd, mostDeadlines, roundsFor, type ScorePool, startScorePool } from '../score/index.ts';
import { jitter } from '../settle/index.ts';
import {
  claimDue,
  extendDue,
  makeLostDue,
  markConfirmed,
  maxConnections,
  missingRight,
  needsMigration,
  openStore,
  postpone,
  probeWrites,
  type Store,
} from '../store/index.ts';
import { StartError, StoppedError } from './start-error.ts';

/** Parts that several commands build in the same way. */

/** For statements outside the accept path: generous, but a silent peer still cannot hold them forever. */
export const statementDeadlineMs = 10_000;

/** RabbitMQ closes a channel that holds a delivery for longer (`consumer_timeout`, 30 min by default). */
export const consumerTimeoutMs = 30 * 60_000;

/**
 * The longest that a delivery may stay unacknowledged while the database is up and every scoring runs to its deadline.
 * If scorings use the CPU, it waits for all others on its thread, and once more if one of them ends the thread. If they
 * wait, it may have to be scored several times until the scoring that ended the thread is found.
 *
 * @param waits  what the scorer declares.
 */
export function longestWaitMs(config: Config, waits: boolean | null): number {
  const each = Math.ceil(config.concurrency / config.scoringThreads);
  const working = (each + 1) * deadlinesToEnd;
  const waiting = (1 + roundsFor(each)) * mostDeadlines;
  const deadlines = waits === null ? Math.max(working, waiting) : waits ? waiting : working;
  return Math.ceil(deadlines * config.scoringTimeoutMs);
}

/** The most scorings that a worker runs at the same time. */
export function maxConcurrent(config: Config, waits: boolean | null): number {
  return waits === false ? config.scoringThreads : config.concurrency;
}

export function processLogger(config: Config, role: string): Logger {
  return createLogger({
    role: process.env['AFTERWORD_ROLE'] ?? role,
    level: config.logLevel,
    format: config.logFormat,
  });
}

/** Logs the effective configuration, passwords masked; at `debug` if one of our processes started this one. */
export function logStart(config: Config, log: Logger): void {
  log[process.env['AFTERWORD_ROLE'] ? 'debug' : 'info'](
    { config: maskedConfig(config), node: process.version },
    'starting',
  );
}

export function topologyOf(config: Config) {
  return { queueName: config.queueName, queueType: config.queueType, maxLength: config.queueMaxLength };
}

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
      // Wrong password, unknown database: waiting does not help.
      const hopeless = errno === 1044 || errno === 1045 || errno === 1049;
      if (stop.aborted) throw new StoppedError('stopped while waiting for the database', { cause: error });
      if (hopeless || performance.now() > until) {
        throw new StartError(databaseHelp(url, code ?? String(error)), { cause: error, mayPass: !hopeless });
      }
      const waitMs = backoff.next();
      log.warn({ err: error, waitMs }, 'database not reachable yet');
      await pause(waitMs, stop);
    }
  }
}

function databaseHelp(url: string, code: string): string {
  return (
    `cannot use the database ${url} (${code})\n` +
    'Is the server running, and are host, port, user, password and database name in DATABASE_URL right?\n' +
    'If you have no servers, `scripts/up` starts some.'
  );
}

/** @throws {StartError} if the schema is older than this version. */
export async function requireSchema(store: Store): Promise<void> {
  if (await needsMigration(store, statementDeadlineMs)) throw schemaIsOld();
}

/**
 * @throws {StartError} if the user of `DATABASE_URL` lacks a right that this process needs. A read-only server is only
 *   logged, because it may accept writes later.
 */
export async function requireRights(store: Store, log: Logger): Promise<void> {
  try {
    await probeWrites(store, statementDeadlineMs);
  } catch (error) {
    const missing = missingRight(error);
    if (missing !== null) throw new StartError(missingRightHelp(missing), { cause: error });
    log.warn({ err: error }, 'the database refuses writes: nothing is accepted or settled until it takes them again');
  }
}

export function missingRightHelp(missing: string): string {
  return (
    `the database user lacks a right that this process needs (${missing}): ` +
    'GRANT SELECT, INSERT, UPDATE ON the database of DATABASE_URL to it'
  );
}

export function schemaIsOld(): StartError {
  return new StartError('the database schema is not up to date: run `afterword migrate` first');
}

/** Warns when the fleet may open more connections than the server admits. */
export async function checkConnectionBudget(config: Config, store: Store, log: Logger): Promise<void> {
  const admitted = await maxConnections(store, statementDeadlineMs);
  const needed = (config.workerReplicas + 1) * config.databasePoolSize;
  if (needed > admitted) {
    log.warn(
      { needed, admitted, replicas: config.workerReplicas, pool: config.databasePoolSize },
      '1 api + WORKER_REPLICAS workers with DATABASE_POOL_SIZE connections each may exceed max_connections: ' +
        'lower DATABASE_POOL_SIZE or raise max_connections',
    );
  }
}

export function startOutbox(config: Config, store: Store, publisher: Publisher, log: Logger): Outbox {
  const { publishGraceMs: graceMs, republishAfterMs, lostAfterMs } = config;
  const times = { graceMs, republishAfterMs, deadlineMs: statementDeadlineMs };
  return createOutbox({
    publish: (message) => publisher.publish(message),
    brokerReady: () => publisher.ready,
    claimDue: (limit) => claimDue(store, { ...times, limit }),
    storeMarks: (marks) => markConfirmed(store, marks, times),
    extendDue: (publications) => extendDue(store, publications, times),
    postpone: (publications) => postpone(store, publications, times),
    countQueue: () => publisher.countQueue(),
    makeLostDue: (limit) =>
      makeLostDue(store, {
        lostAfterMs,
        furthestRetryMs: config.retryCapMs * (1 + jitter),
        limit,
        deadlineMs: statementDeadlineMs,
      }),
    lostAfterMs,
    graceMs,
    intervalMs: config.relayIntervalMs,
    log,
  });
}

/** @throws {StoppedError} if `stop` fires before the scorer is loaded. @throws {PipelineError} if it cannot be. */
export function startPool(config: Config, threads: number, stop: AbortSignal, log: Logger): Promise<ScorePool> {
  return startScorePool({
    threads,
    threadMemoryMb: config.scoringThreadMemoryMb,
    timeoutMs: config.scoringTimeoutMs,
    weights: config.weights,
    scorerModule: config.scorerModule,
    stop,
    log,
  }).catch((error: unknown) => {
    if (stop.aborted) throw new StoppedError('stopped while the scorer was loaded', { cause: error });
    throw error;
  });
}
