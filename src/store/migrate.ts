import { withConnection } from './connection.ts';
import { migrations, migrationsTableName } from './migrations/index.ts';
import type { Store } from './open-store.ts';

/** Two databases on one server migrate apart from each other; GET_LOCK names are limited to 64 characters. (MySQL 9 has no MD5.) */
const lockName = "CONCAT('afterword_migrate_', LEFT(SHA2(DATABASE(), 256), 32))";

/**
 * Brings the schema up to date. Safe when several processes start at once: one migrates, the others wait for its lock.
 *
 * @returns names of the migrations that ran now.
 * @throws if the lock cannot be had within `lockSeconds`.
 */
export async function migrate(store: Store, lockSeconds = 120): Promise<string[]> {
  // The lock belongs to the connection that took it, so this one is held throughout.
  const dataSource = await store.orm();
  await using runner = dataSource.createQueryRunner();
  const [row] = (await runner.query(`SELECT GET_LOCK(${lockName}, ?) AS got`, [lockSeconds])) as { got: unknown }[];
  if (Number(row?.got) !== 1) throw new Error(`another process has been migrating for over ${lockSeconds} s`);
  try {
    const ran = await dataSource.runMigrations({ transaction: 'none' });
    return ran.map((migration) => migration.name);
  } finally {
    await runner.query(`SELECT RELEASE_LOCK(${lockName})`);
  }
}

/** @returns true if the schema lacks a migration that this version needs. @throws {PipelineError} */
export async function needsMigration(store: Store, deadlineMs: number): Promise<boolean> {
  const ran = await withConnection(store, deadlineMs, async (connection) => {
    const [table] = await connection.query<unknown[]>(`SHOW TABLES LIKE '${migrationsTableName}'`);
    return table === undefined ? [] : connection.query<{ name: string }[]>(`SELECT name FROM ${migrationsTableName}`);
  });
  const names = new Set(ran.map((row) => row.name));
  return migrations.some((migration) => !names.has(migration.name));
}
