import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';

export type Urls = { readonly database: string; readonly rabbitmq: string };

/** A database and a queue of its own for a peer. */
export type PeerSpace = {
  readonly database: mysql.Connection;
  readonly queue: string;
  readonly env: Record<string, string>;
} & AsyncDisposable;

export async function peerSpace(urls: Urls): Promise<PeerSpace> {
  const name = `peer${randomBytes(4).toString('hex')}`;
  const database = await mysql.createConnection(urls.database);
  await database.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  await database.changeUser({ database: name });
  const url = new URL(urls.database);
  url.pathname = `/${name}`;
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
