/**
 * The floor for live sessions: Node's own HTTP server, and what has to be written to Redis in one pipeline, without
 * knowing a repeat from a new message.
 */
import { createServer } from 'node:http';
import { Redis } from 'ioredis';

const redis = new Redis(process.env['REDIS_URL'] ?? '', { enableAutoPipelining: true });
const server = createServer(async (request, response) => {
  const id = request.url?.split('/')[3] ?? '';
  const message = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { message_id: string; role: string };
  if (id === '') return void response.writeHead(201).end('{}');
  const [position, questions] = await Promise.all([
    redis.incr(`session:{${id}}:position`),
    redis.incr(`session:{${id}}:count`),
    redis.set(`session:{${id}}:msg:${message.message_id}`, JSON.stringify(message)),
    redis.rpush(`session:{${id}}:history`, JSON.stringify(message)),
    redis.ltrim(`session:{${id}}:history`, -10, -1),
    redis.zadd(`session:{${id}}:pending_msgs`, Date.now(), message.message_id),
    redis.zadd('dirty', 'NX', Date.now(), id),
  ]);
  response.writeHead(202, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ message_id: message.message_id, position, question_count: questions }));
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ ready: true, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
});
process.once('SIGTERM', () => process.exit());
