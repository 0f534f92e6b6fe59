import * as mysql2 from 'mysql2';
import { DataSource } from 'typeorm';
import { migrations, migrationsTableName } from './migrations/index.ts';
import { schemas } from './schemas.ts';

/**
 * TypeORM on our pool, for schema migrations only. The statements of the pipeline and of the reports are written by
 * hand and need no ORM.
 *
 * @throws the driver's error if the database cannot be reached.
 */
export async function openOrm(url: string, pool: mysql2.Pool): Promise<DataSource> {
  const dataSource = new DataSource({
    type: 'mysql',
    url,
    // Our own pool, so that every connection gets our session statements.
    driver: { ...mysql2, createPool: () => pool },
    entities: schemas,
    migrations,
    migrationsTableName,
    timezone: 'Z',
  });
  return dataSource.initialize();
}
