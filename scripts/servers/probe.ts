import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import type { Kind } from './server.ts';

/**
 * Resolves if the server answers in its own protocol; an open port alone says little (Docker's proxy opens it early).
 */
export const probes = {
  async database(url: string): Promise<void> {
    const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
    await connection.end();
  },
  async broker(url: string): Promise<void> {
    const connection = await connect(url, { timeout: 2_000 });
    await connection.close();
  },
  async redis(url: string): Promise<void> {
    const client = new Redis(url, { lazyConnect: true, connectTimeout: 2_000, retryStrategy: null });
    client.on('error', () => {}); // `connect` rejects with it
    try {
      await client.connect();
      await client.ping();
    } finally {
      client.disconnect();
    }
  },
} as const satisfies Record<Kind, (url: string) => Promise<void>>;
