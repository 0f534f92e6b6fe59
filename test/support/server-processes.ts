import type { Pool, RowDataPacket } from 'mysql2/promise';

export type ServerProcess = { readonly id: number; readonly user: string; readonly statement: string };

/**
 * What the database server is running in this database. Not `information_schema.PROCESSLIST`: MySQL fails to read that
 * table while anyone executes a prepared statement with bytes in it (MySQL 9.7: "Cannot convert string … from utf8mb4
 * to utf8mb3").
 */
export async function serverProcesses(database: Pool): Promise<ServerProcess[]> {
  const [[self]] = await database.query<RowDataPacket[]>('SELECT DATABASE() AS name');
  const [all] = await database.query<RowDataPacket[]>('SHOW FULL PROCESSLIST');
  return all
    .filter(({ db }) => db === self?.['name'])
    .map(({ Id, User, Info }) => ({ id: Id, user: User, statement: Info ?? '' }));
}
