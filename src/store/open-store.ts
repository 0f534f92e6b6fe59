import * as mysql2 from 'mysql2';
import { DataSource } from 'typeorm';
import { settlesWithin } from '../runtime/wait.ts';
import { migrations } from './migrations/index.ts';
import { schemas } from './schemas.ts';

/** One process's access to the database. TypeORM owns the pool; hot statements take raw connections from it. */
export type Store = {
  readonly dataSource: DataSource;
  readonly pool: mysql2.Pool;
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
  let pool: mysql2.Pool | undefined;
  const dataSource = new DataSource({
    type: 'mysql',
    url,
    // The pool is made here and not by TypeORM so that the session statements also reach its first connection.
    driver: {
      ...mysql2,
      createPool: (poolOptions: mysql2.PoolOptions) => {
        pool = mysql2.createPool(poolOptions);
        pool.on('connection', (connection) => {
          for (const statement of session) connection.query(statement, (error) => error && connection.destroy());
        });
        return pool;
      },
    },
    entities: schemas,
    migrations,
    migrationsTableName: 'afterword_migrations',
    poolSize: options.poolSize,
    timezone: 'Z',
    charset: 'utf8mb4',
    connectTimeout: options.connectTimeoutMs,
    // Waiters for a connection are bounded by the stages above (group commit, admission); this bound only ends a mistake.
    // Several statements in a packet (Connection.batch): values only ever come in by placeholders.
    // Prepared statements: of each connection, and counted by the server over all of its clients.
    extra: {
      queueLimit: 1_000,
      enableKeepAlive: true,
      decimalNumbers: true,
      jsonStrings: true,
      multipleStatements: true,
      maxPreparedStatements: 48,
    },
  });
  await dataSource.initialize();
  if (pool === undefined) throw new Error('TypeORM did not create a pool');
  return { dataSource, pool, close: () => closePool(dataSource) };
}

/** A connection with a statement that never ends would keep the pool from closing; the process ends without it. */
async function closePool(dataSource: DataSource): Promise<void> {
  await settlesWithin(
    dataSource.destroy().catch(() => {}),
    2_000,
  );
}
