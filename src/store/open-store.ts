import * as mysql2 from 'mysql2';
import { settlesWithin } from '../runtime/wait.ts';
import type { Orm } from './orm.ts';

/** One process's access to the database. */
export type Store = {
  readonly pool: mysql2.Pool;
  /**
   * TypeORM on the same pool, for reads that are not hot and for migrations. Loaded at its first use: workers do without it, start sooner and are
   * 11 MiB smaller.
   */
  orm(): Promise<Orm>;
  close(): Promise<void>;
};

/**
 * Said to every new connection before its first use. READ COMMITTED: claims and settles lock rows, never gaps.
 * Strict mode: what does not fit is refused, not cut. UTC: `DATETIME` columns hold UTC. A lock wait of 5 s is a
 * fault here, not patience: every transaction of ours is a few milliseconds long.
 */
const session = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 5`,
];

/**
 * Connects once to see that the database is there.
 *
 * @param url  `mysql://…/name`, also for MariaDB.
 * @throws the driver's error if it cannot connect or the database refuses.
 */
export async function openStore(url: string, options: { readonly poolSize: number; readonly connectTimeoutMs: number }): Promise<Store> {
  const pool = mysql2.createPool({
    uri: url,
    connectionLimit: options.poolSize,
    connectTimeout: options.connectTimeoutMs,
    enableKeepAlive: true,
    // Waiters for a connection are bounded by the stages above (group commit, admission); this bound only ends a mistake.
    queueLimit: 1_000,
    charset: 'utf8mb4',
    timezone: 'Z',
    supportBigNumbers: true,
    decimalNumbers: true,
    jsonStrings: true,
    // Connection.batch: values only ever come in by placeholders.
    multipleStatements: true,
    // Prepared statements: of each connection, and counted by the server over all of its clients.
    maxPreparedStatements: 48,
  });
  pool.on('connection', (connection) => {
    for (const statement of session) connection.query(statement, (error) => error && connection.destroy());
  });
  try {
    await new Promise<void>((resolve, reject) => pool.query('SELECT 1', (error) => (error ? reject(error) : resolve())));
  } catch (error) {
    await closePool(pool);
    throw error;
  }
  let orm: Promise<Orm> | null = null;
  return {
    pool,
    orm() {
      orm ??= import('./orm.ts')
        .then(({ openOrm }) => openOrm(url, pool))
        .catch((error: unknown) => {
          orm = null; // the next use tries again
          throw error;
        });
      return orm;
    },
    close: () => closePool(pool),
  };
}

/** A connection with a statement that never ends would keep the pool from closing; the process ends without it. */
async function closePool(pool: mysql2.Pool): Promise<void> {
  await settlesWithin(new Promise<void>((resolve) => pool.end(() => resolve())), 2_000);
}
