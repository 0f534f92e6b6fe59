/**
 * The plain pipeline, as one would write it from the documentation of its libraries: one INSERT and one awaited confirm
 * per request, one transaction per message. Same durability as ours. Roles: api, worker.
 */
import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from 'amqplib';
import express from 'express';
import { Piscina } from 'piscina';
import { DataSource, EntitySchema } from 'typeorm';

const { DATABASE_URL = '', RABBITMQ_URL = '', QUEUE = 'plain', CONCURRENCY = '10', WAIT_MS = '0' } = process.env;

type Event = {
  event_id: string;
  conversation_id: string;
  user_id: string;
  body: string;
  status: string;
  score: number | null;
  created_at: Date;
};
const EventSchema = new EntitySchema<Event>({
  name: 'PlainEvent',
  tableName: 'plain_events',
  columns: {
    event_id: { type: 'char', length: 36, primary: true },
    conversation_id: { type: 'varchar', length: 255, unique: true },
    user_id: { type: 'varchar', length: 255 },
    body: { type: 'mediumtext' },
    status: { type: 'varchar', length: 10 },
    score: { type: 'double', nullable: true },
    created_at: { type: 'datetime', precision: 3 },
  },
});
const FriendshipSchema = new EntitySchema<{ user_id: string; friendship_score: number }>({
  name: 'PlainFriendship',
  tableName: 'plain_friendship',
  columns: {
    user_id: { type: 'varchar', length: 255, primary: true },
    friendship_score: { type: 'double', default: 0 },
  },
});

const database = new DataSource({
  type: 'mysql',
  url: DATABASE_URL,
  entities: [EventSchema, FriendshipSchema],
  synchronize: true,
  poolSize: 10,
});
await database.initialize();
const broker = await connect(RABBITMQ_URL, { noDelay: true });

if (process.argv[2] === 'api') {
  const channel = await broker.createConfirmChannel();
  await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  const app = express();
  app.use(express.json({ limit: '1mb' }));
  app.post('/v1/conversations/end', async (request, response) => {
    const body = request.body as { conversation_id: string; user_id: string };
    const event = { event_id: randomUUID(), conversation_id: body.conversation_id, user_id: body.user_id };
    await database
      .getRepository(EventSchema)
      .insert({ ...event, body: JSON.stringify(body), status: 'PENDING', score: null, created_at: new Date() });
    await new Promise<void>((resolve, reject) =>
      channel.sendToQueue(QUEUE, Buffer.from(JSON.stringify({ ...event, body })), { persistent: true }, (error) =>
        error ? reject(error) : resolve(),
      ),
    );
    response.status(202).json({ status: 'accepted', ...event });
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
  const channel = await broker.createChannel();
  await channel.prefetch(Number(CONCURRENCY));
  await channel.consume(QUEUE, async (message) => {
    if (message === null) return;
    const { event_id, user_id, body } = JSON.parse(message.content.toString()) as Event;
    // Waiting happens on the event loop, as in such a pipeline; the pool is for CPU work.
    if (Number(WAIT_MS) > 0) await delay(Number(WAIT_MS));
    const score = await pool.run(body);
    await database.transaction(async (manager) => {
      const event = await manager.findOne(EventSchema, { where: { event_id }, lock: { mode: 'pessimistic_write' } });
      if (event?.status !== 'PENDING') return;
      await manager.update(EventSchema, { event_id }, { status: 'PROCESSED', score });
      await manager.query(
        'INSERT INTO plain_friendship (user_id, friendship_score) VALUES (?, ?) ' +
          'ON DUPLICATE KEY UPDATE friendship_score = friendship_score + VALUES(friendship_score)',
        [user_id, score],
      );
    });
    channel.ack(message);
  });
  process.send?.({ ready: true });
}
process.once('SIGTERM', () => process.exit());
