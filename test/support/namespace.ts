import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';
import { topologyNames } from '../../src/broker/index.ts';
import { migrate, openStore } from '../../src/store/index.ts';

/** A database and queues that only one test file uses. */
export type Namespace = {
  readonly env: Record<string, string>;
  readonly database: mysql.Pool;
  readonly queue: string;
  readonly deadQueue: string;
  dispose(): Promise<void>;
};

/**
 * @param env  more settings for the processes under test.
 * @param options.ownUser  the processes get a database user with rights on this database alone, subject to `read_only`.
 * @param options.migrateWith  creates the schema in the empty database; this checkout's migrations unless another
 *   version is to run on it.
 */
export async function createNamespace(
  urls: { database: string; rabbitmq: string },
  env: Record<string, string> = {},
  {
    ownUser = false,
    migrateWith = migrateHere,
  }: { ownUser?: boolean; migrateWith?: (databaseUrl: string) => Promise<void> } = {},
): Promise<Namespace> {
  const id = `t${randomBytes(5).toString('hex')}`;
  const base = new URL(urls.database);
  const admin = await mysql.createConnection(base.href);
  await admin.query(`CREATE DATABASE ${id}`);
  if (ownUser) {
    await admin.query(`CREATE USER '${id}'@'%' IDENTIFIED BY '${id}'`);
    await admin.query(`GRANT ALL ON ${id}.* TO '${id}'@'%'`);
  }
  await admin.end();
  base.pathname = `/${id}`;
  const own = new URL(base);
  if (ownUser) own.username = own.password = id;
  await migrateWith(base.href);
  const names = topologyNames(`${id}_processing`);
  const database = mysql.createPool({ uri: base.href, timezone: 'Z', decimalNumbers: true, connectionLimit: 4 });
  return {
    database,
    queue: names.queues.normal,
    deadQueue: names.deadQueue,
    env: {
      DATABASE_URL: own.href,
      RABBITMQ_URL: urls.rabbitmq,
      RABBITMQ_QUEUE_NAME: names.queues.normal,
      PORT: '0',
      WORKER_REPLICAS: '1',
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'debug',
      RELAY_INTERVAL_MS: '200',
      ...env,
    },
    async dispose() {
      await database.query(`DROP DATABASE ${id}`);
      if (ownUser) await database.query(`DROP USER '${id}'@'%'`);
      await database.end();
      const connection = await connect(urls.rabbitmq);
      const channel = await connection.createChannel();
      for (const queue of Object.values(names.queues)) await channel.deleteQueue(queue);
      await channel.deleteQueue(names.deadQueue);
      await channel.deleteExchange(names.deadExchange);
      await connection.close();
    },
  };
}

async function migrateHere(databaseUrl: string): Promise<void> {
  const store = await openStore(databaseUrl, { poolSize: 2, connectTimeoutMs: 5_000 });
  await migrate(store);
  await store.close();
}
