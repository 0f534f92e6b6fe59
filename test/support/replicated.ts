import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { findServers, type Server } from '../../scripts/servers/index.ts';

/** Two real database servers, of which one copies the other. */
export type Replicated = {
  readonly primary: Server;
  readonly replica: Server;
  /** What is written from now on arrives at the replica, and stays unseen. */
  hold(): Promise<void>;
  /** It is seen, and all that follows. */
  release(): Promise<void>;
  dispose(): Promise<void>;
};

export async function startReplicated(): Promise<Replicated> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-replicated-'));
  const start = async (id: number) => {
    const own = join(folder, String(id));
    await mkdir(own);
    const { database } = await findServers(['database'], {
      ...{ folder: own, volumes: null, say: () => {}, ignoreNamed: true },
      databaseArgs: ['--log-bin=binlog', `--server-id=${id}`],
    });
    return database.server;
  };
  const [primary, replica] = await Promise.all([start(1), start(2)]);
  const [above, below] = [mysql.createPool(primary.url), mysql.createPool(replica.url)];
  const [[named]] = await above.query<mysql.RowDataPacket[]>('SELECT VERSION() AS version');
  const isMariaDb = /mariadb/i.test(String(named?.['version']));
  // A container has the same number everywhere, and gets no arguments of ours: MySQL remembers this one.
  if (!isMariaDb) await below.query('SET PERSIST server_id = 2');
  await above.query("CREATE USER 'copies'@'%' IDENTIFIED BY 'copies'");
  await above.query("GRANT REPLICATION SLAVE ON *.* TO 'copies'@'%'");
  const [[at]] = await above.query<mysql.RowDataPacket[]>(isMariaDb ? 'SHOW MASTER STATUS' : 'SHOW BINARY LOG STATUS');
  const { hostname, port } = new URL(primary.url);
  const values = [hostname, Number(port), 'copies', 'copies', at?.['File'], Number(at?.['Position'])];
  await below.query(
    isMariaDb
      ? `CHANGE MASTER TO MASTER_HOST = ?, MASTER_PORT = ?, MASTER_USER = ?, MASTER_PASSWORD = ?, MASTER_LOG_FILE = ?,
           MASTER_LOG_POS = ?, MASTER_CONNECT_RETRY = 1`
      : `CHANGE REPLICATION SOURCE TO SOURCE_HOST = ?, SOURCE_PORT = ?, SOURCE_USER = ?, SOURCE_PASSWORD = ?,
           SOURCE_LOG_FILE = ?, SOURCE_LOG_POS = ?, SOURCE_CONNECT_RETRY = 1, GET_SOURCE_PUBLIC_KEY = 1`,
    values,
  );
  await below.query('START REPLICA');
  await above.end();
  return {
    primary,
    replica,
    hold: async () => void (await below.query('STOP REPLICA SQL_THREAD')),
    release: async () => void (await below.query('START REPLICA SQL_THREAD')),
    async dispose() {
      await below.end().catch(() => {});
      await Promise.all([primary.dispose(), replica.dispose()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
