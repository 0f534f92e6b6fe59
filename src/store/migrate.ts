import { PipelineError } from '../event/fault.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { type Connection, withConnection } from './connection.ts';
import { migrations, migrationsTableName } from './migrations/index.ts';
import type { Store } from './open-store.ts';

/**
 * One lock per database, so that two databases on one server migrate independently. GET_LOCK names are limited to 64
 * characters. (MySQL 9 has no MD5.)
 */
const lockName = "CONCAT('afterword_migrate_', LEFT(SHA2(DATABASE(), 256), 32))";

/**
 * Brings the schema up to date. Safe when several processes start at once: one migrates, the others wait for its lock.
 *
 * @returns names of the migrations that this call ran.
 * @throws if the lock is not free within `lockSeconds`. @throws {PipelineError} `SCHEMA_UNRELEASED`.
 */
export async function migrate(store: Store, lockSeconds = 120): Promise<string[]> {
  await withConnection(store, 10_000, refuseUnreleased);
  // The lock belongs to the connection that took it, so this one is held throughout.
  const dataSource = await store.orm();
  await using runner = dataSource.createQueryRunner();
  // This session is idle while the migrations run on other connections, however long they take.
  await runner.query('SET SESSION wait_timeout = 28800');
  const [row] = (await runner.query(`SELECT GET_LOCK(${lockName}, ?) AS got`, [lockSeconds])) as { got: unknown }[];
  if (Number(row?.got) !== 1) throw new Error(`another process has been migrating for over ${lockSeconds} s`);
  try {
    const ran = await dataSource.runMigrations({ transaction: 'none' });
    return ran.map((migration) => migration.name);
  } finally {
    await runner.query(`SELECT RELEASE_LOCK(${lockName})`);
  }
}

/**
 * @returns true if the schema lacks a migration that this version needs.
 * @throws {PipelineError} also `SCHEMA_UNRELEASED`.
 */
export async function needsMigration(store: Store, deadlineMs: number): Promise<boolean> {
  const ran = await withConnection(store, deadlineMs, async (connection) => {
    await refuseUnreleased(connection);
    const [table] = await connection.query<unknown[]>(`SHOW TABLES LIKE '${migrationsTableName}'`);
    return table === undefined ? [] : connection.query<{ name: string }[]>(`SELECT name FROM ${migrationsTableName}`);
  });
  const names = new Set(ran.map((row) => row.name));
  return migrations.some((migration) => !names.has(migration.name));
}

/**
 * Before the first release, the text was a column of the event, and a later schema had no `published_at`. Their
 * migrations have the same names as today's, and their events would look as if their text had been lost.
 */
async function refuseUnreleased(connection: Connection): Promise<void> {
  const found = await connection.query<unknown[]>(
    `SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'conversation_events'
     HAVING SUM(column_name = 'conversation_log') > 0 OR SUM(column_name = 'published_at') = 0`,
  );
  if (found.length > 0) {
    throw new PipelineError(
      'permanent',
      'SCHEMA_UNRELEASED',
      'a checkout from before the first release created this database, and this version cannot read its events: ' +
        'let that checkout process them all, then point DATABASE_URL at a new, empty database',
      { exitCode: exitCodes.config },
    );
  }
}
