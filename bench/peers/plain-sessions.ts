/**
 * Live sessions as one writes them from the libraries' documentation: one Redis command per step, one INSERT per
 * message in a loop.
 *
 *   node plain-sessions.ts            DATABASE_URL, REDIS_URL
 */
import express from 'express';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';

const redis = new Redis(process.env['REDIS_URL'] ?? '');
const database = mysql.createPool({ uri: process.env['DATABASE_URL'] ?? '', connectionLimit: 10 });
await database.query(`CREATE TABLE IF NOT EXISTS messages (
  session_id VARCHAR(255) NOT NULL, message_id VARCHAR(128) NOT NULL, position INT NOT NULL, role VARCHAR(4) NOT NULL,
  text MEDIUMTEXT NOT NULL, PRIMARY KEY (session_id, message_id))`);

type Message = { message_id: string; role: string; text: string };
const app = express();
app.use(express.json());
app.post('/v1/sessions', async (request, response) => {
  const { session_id, user_id } = request.body as { session_id: string; user_id: string };
  await redis.hset(`session:${session_id}`, 'user', user_id);
  response.status(201).json({ session_id });
});
app.post('/v1/sessions/:id/messages', async (request, response) => {
  const { id } = request.params;
  const message = request.body as Message;
  if ((await redis.exists(`session:${id}`)) === 0) return void response.status(404).end();
  if ((await redis.exists(`session:${id}:msg:${message.message_id}`)) === 1) return void response.status(202).json({});
  const position = await redis.incr(`session:${id}:position`);
  const questions = await (message.role === 'user'
    ? redis.incr(`session:${id}:count`)
    : redis.get(`session:${id}:count`));
  await redis.set(`session:${id}:msg:${message.message_id}`, JSON.stringify({ ...message, position }));
  await redis.rpush(`session:${id}:history`, JSON.stringify(message));
  await redis.ltrim(`session:${id}:history`, -10, -1);
  await redis.rpush(`session:${id}:pending`, message.message_id);
  await redis.sadd('dirty', id);
  response.status(202).json({ message_id: message.message_id, position, question_count: Number(questions ?? 0) });
});
async function sync(): Promise<void> {
  for (let id = await redis.spop('dirty'); id !== null; id = await redis.spop('dirty')) {
    for (
      let one = await redis.lpop(`session:${id}:pending`);
      one !== null;
      one = await redis.lpop(`session:${id}:pending`)
    ) {
      const text = await redis.get(`session:${id}:msg:${one}`);
      const message = JSON.parse(text ?? '{}') as Message & { position: number };
      await database.query('INSERT IGNORE INTO messages VALUES (?,?,?,?,?)', [
        ...[id, one, message.position, message.role, message.text],
      ]);
      await redis.expire(`session:${id}:msg:${one}`, 3_600);
    }
  }
}
setInterval(() => void sync(), 1_000);
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ ready: true, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
});
process.once('SIGTERM', () => process.exit());
