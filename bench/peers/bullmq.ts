/**
 * BullMQ on Redis, with events and friendship in MySQL, as its documentation has it: one INSERT and one `add` per
 * request, one transaction per job. The Redis server decides how durable the queue is (appendfsync). Roles: api,
 * worker.
 */
import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue, Worker } from 'bullmq';
import express from 'express';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { Piscina } from 'piscina';

const { DATABASE_URL = '', REDIS_PORT = '6379', QUEUE = 'bull', CONCURRENCY = '10', WAIT_MS = '0' } = process.env;
const connection = { host: '127.0.0.1', port: Number(REDIS_PORT), maxRetriesPerRequest: null };
const database = mysql.createPool({ uri: DATABASE_URL, connectionLimit: 10 });
await database.query(`CREATE TABLE IF NOT EXISTS bull_events (event_id CHAR(36) PRIMARY KEY,
  conversation_id VARCHAR(255) NOT NULL UNIQUE,
  user_id VARCHAR(255) NOT NULL, body MEDIUMTEXT NOT NULL, status VARCHAR(10) NOT NULL, score DOUBLE NULL,
  created_at DATETIME(3) NOT NULL)`);
await database.query(
  'CREATE TABLE IF NOT EXISTS bull_friendship (user_id VARCHAR(255) PRIMARY KEY, friendship_score DOUBLE NOT NULL)',
);

type Job = { readonly event_id: string; readonly body: { readonly conversation_id: string; readonly user_id: string } };

if (process.argv[2] === 'api') {
  const queue = new Queue<Job>(QUEUE, { connection });
  await queue.waitUntilReady();
  const app = express();
  app.use(express.json({ limit: '1mb' }));
  app.post('/v1/conversations/end', async (request, response) => {
    const body = request.body as Job['body'];
    const event_id = randomUUID();
    await database.query("INSERT INTO bull_events VALUES (?, ?, ?, ?, 'PENDING', NULL, NOW(3))", [
      event_id,
      body.conversation_id,
      body.user_id,
      JSON.stringify(body),
    ]);
    await queue.add('conversation', { event_id, body }, { jobId: event_id, removeOnComplete: true, attempts: 5 });
    response.status(202).json({ status: 'accepted', event_id });
  });
  const server = app.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send?.({ ready: true, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
  });
} else {
  const pool = new Piscina<unknown, number>({
    filename: fileURLToPath(new URL('./burn-thread.ts', import.meta.url)),
    minThreads: availableParallelism(),
    maxThreads: availableParallelism(),
  });
  const worker = new Worker<Job>(
    QUEUE,
    async ({ data: { event_id, body } }) => {
      // Waiting happens on the event loop, as in such a pipeline; the pool is for CPU work.
      if (Number(WAIT_MS) > 0) await delay(Number(WAIT_MS));
      const score = await pool.run(body);
      const db = await database.getConnection();
      try {
        await db.beginTransaction();
        const [[event]] = await db.query<RowDataPacket[]>(
          'SELECT status FROM bull_events WHERE event_id = ? FOR UPDATE',
          [event_id],
        );
        if (event?.['status'] === 'PENDING') {
          await db.query("UPDATE bull_events SET status = 'PROCESSED', score = ? WHERE event_id = ?", [
            score,
            event_id,
          ]);
          await db.query(
            'INSERT INTO bull_friendship VALUES (?, ?) ON DUPLICATE KEY UPDATE friendship_score = friendship_score + ' +
              'VALUES(friendship_score)',
            [body.user_id, score],
          );
        }
        await db.commit();
      } finally {
        db.release();
      }
    },
    { connection, concurrency: Number(CONCURRENCY) },
  );
  await worker.waitUntilReady();
  process.send?.({ ready: true });
}
process.once('SIGTERM', () => process.exit());
