import * as mysql2 from 'mysql2';
import type { DataSource } from 'typeorm';
import { settlesWithin } from '../runtime/wait.ts';

/** One process's access to the database. */
export type Store = {
  /** Work that waits for a connection, and that has one. */
  readonly usage: { waiting: number; inUse: number };
  readonly pool: mysql2.Pool;
  /** Connections without autocommit, used to store accepts: their transactions need no round trip to begin. */
  readonly accepts: mysql2.Pool;
  /** One more connection, for who keeps it long: the pool may have a single one to spare. Theirs to end. */
  apart(): Promise<mysql2.Connection>;
  /**
   * TypeORM on the same pool, for migrations. Loaded on first use: processes that serve do without it, start sooner and
   * are 11 MiB smaller.
   */
  orm(): Promise<DataSource>;
  close(): Promise<void>;
};

/**
 * Run on every new connection before its first use. READ COMMITTED: claims and settles lock rows, never gaps.
 * Strict mode: data that does not fit is refused, not truncated. UTC: `DATETIME` columns hold UTC. Waiting 5 s for a
 * lock means something is wrong: our transactions take a few milliseconds.
 *
 * A host that loses power or network in the middle of a transaction leaves its session silent, and the server would
 * keep its locks for `wait_timeout`, 8 h by default. So the server ends a silent session after a minute, and one inside
 * a transaction after 15 s where it can tell them apart (MariaDB; MySQL reads that part as a comment).
 */
const session = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
    innodb_lock_wait_timeout = 5,
     wait_timeout = 60 /*M! , idle_transaction_timeout = 15 */`,
];

/**
 * Opens the pools, after connecting once to check that the database answers.
 *
 * @param url  `mysql://…/name`, also for MariaDB; with `?tls=true` for TLS.
 * @param options.poolSize  connections of this process, those for accepts included.
 * @param options.connectTimeoutMs  also for the first answer: a server may accept connections and then stay silent.
 * @throws the driver's error if it cannot connect or is refused; `ETIMEDOUT`; the abort reason of `stop`.
 */
export async function openStore(
  url: string,
  options: {
    readonly poolSize: number;
    readonly acceptConnections?: number;
    readonly connectTimeoutMs: number;
    readonly stop?: AbortSignal;
  },
): Promise<Store> {
  const at = addressOf(url);
  await connectOnce(at, options);
  const accepting = options.acceptConnections ?? 0;
  const pool = createPool(at, options.poolSize - accepting, options.connectTimeoutMs, session);
  // Pools connect on demand: a process that accepts nothing opens none of these.
  const accepts = createPool(at, Math.max(1, accepting), options.connectTimeoutMs, [
    ...session,
    'SET SESSION autocommit = 0',
  ]);
  let orm: Promise<DataSource> | null = null;
  return {
    usage: { waiting: 0, inUse: 0 },
    pool,
    accepts,
    apart: () => connectApart(at, options.connectTimeoutMs),
    orm() {
      orm ??= import('./orm.ts')
        .then(({ openOrm }) => openOrm(at.uri, pool))
        .catch((error: unknown) => {
          orm = null; // the next use tries again
          throw error;
        });
      return orm;
    },
    async close() {
      await Promise.all([closePool(pool), closePool(accepts)]);
    },
  };
}

type Address = { readonly uri: string; readonly ssl?: mysql2.SslOptions };

/** With `?tls=true`, the server's certificate must be valid for its name, and of an authority that is trusted. */
function addressOf(url: string): Address {
  const parsed = new URL(url);
  const hasTls = parsed.searchParams.get('tls') === 'true';
  parsed.searchParams.delete('tls');
  return { uri: parsed.href, ...(hasTls && { ssl: { rejectUnauthorized: true, verifyIdentity: true } }) };
}

const dialect = {
  charset: 'utf8mb4',
  timezone: 'Z',
  supportBigNumbers: true,
  decimalNumbers: true,
  jsonStrings: true,
} as const;

function createPool(at: Address, size: number, connectTimeoutMs: number, statements: readonly string[]): mysql2.Pool {
  const pool = mysql2.createPool({
    ...at,
    connectionLimit: size,
    connectTimeout: connectTimeoutMs,
    enableKeepAlive: true,
    // Waiters for a connection are bounded by the stages above (group commit, admission); this bound only contains a
    // bug.
    queueLimit: 1_000,
    ...dialect,
    // For Connection.batch. Safe because values are only ever passed as placeholders.
    multipleStatements: true,
    // Per connection. The server limits prepared statements across all of its clients.
    maxPreparedStatements: 48,
  });
  pool.on('connection', (connection) => {
    for (const statement of statements) connection.query(statement, (error) => error && connection.destroy());
  });
  return pool;
}

async function connectApart(at: Address, connectTimeout: number): Promise<mysql2.Connection> {
  const connection = mysql2.createConnection({ ...at, ...dialect, connectTimeout, enableKeepAlive: true });
  connection.on('error', () => {}); // whoever uses it is told
  try {
    for (const statement of session)
      await new Promise<void>((resolve, reject) =>
        connection.query(statement, (error) => (error ? reject(error) : resolve())),
      );
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** Opens one connection, runs a query on it and closes it. */
async function connectOnce(
  at: Address,
  options: { readonly connectTimeoutMs: number; readonly stop?: AbortSignal },
): Promise<void> {
  options.stop?.throwIfAborted();
  const connection = mysql2.createConnection({ ...at, connectTimeout: options.connectTimeoutMs });
  const { promise: abandoned, reject: abandon } = Promise.withResolvers<never>();
  const silent = new Error(`the database accepted a connection but gave no answer in ${options.connectTimeoutMs} ms`);
  const timer = setTimeout(() => abandon(Object.assign(silent, { code: 'ETIMEDOUT' })), options.connectTimeoutMs);
  const onStop = () => abandon(options.stop?.reason);
  options.stop?.addEventListener('abort', onStop, { once: true });
  connection.on('error', abandon);
  try {
    await Promise.race([
      abandoned,
      new Promise<void>((resolve, reject) =>
        connection.query('SELECT 1', (error) => (error ? reject(error) : resolve())),
      ),
    ]);
    connection.end();
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    options.stop?.removeEventListener('abort', onStop);
  }
}

/** A statement that never ends would keep the pool from closing, so this stops waiting after a while. */
async function closePool(pool: mysql2.Pool): Promise<void> {
  await settlesWithin(new Promise<void>((resolve) => pool.end(() => resolve())), 2_000);
}
