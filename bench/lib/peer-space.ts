import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';

export type Urls = { readonly database: string; readonly rabbitmq: string };

/** A database and a queue of its own for a peer. */
export type PeerSpace = {
  readonly database: mysql.Pool;
  readonly queue: string;
  readonly env: Record<string, string>;
} & AsyncDisposable;

export async function peerSpace(urls: Urls): Promise<PeerSpace> {
  const name = `peer${randomBytes(4).toString('hex')}`;
  const admin = await mysql.createConnection(urls.database);
  await admin.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  await admin.end();
  const url = new URL(urls.database);
  url.pathname = `/${name}`;
  const database = mysql.createPool({ uri: url.href, connectionLimit: 1 });
  return {
    database,
    queue: name,
    env: { DATABASE_URL: url.href, RABBITMQ_URL: urls.rabbitmq, QUEUE: name },
    async [Symbol.asyncDispose]() {
      await database.query(`DROP DATABASE ${name}`);
      await database.end();
      const broker = await connect(urls.rabbitmq);
      await (await broker.createChannel()).deleteQueue(name);
      await broker.close();
    },
  };
}
