import { peerSpace, type Urls } from '../lib/peer-space.ts';
import { startProcess } from '../lib/process.ts';
import { type Fsync, startRedis } from '../lib/redis.ts';
import { type Contender, count } from './contender.ts';
import { startNodeWorkers } from './node-workers.ts';

export function bullmq(urls: Urls, fsync: Fsync): Contender {
  return {
    name: `BullMQ (appendfsync ${fsync})`,
    async open() {
      const space = await peerSpace(urls);
      const redis = await startRedis(fsync);
      const env = { ...space.env, REDIS_PORT: String(redis.port) };
      return {
        database: space.database,
        queue: space.queue,
        startApi: () => startProcess('peers/bullmq.ts', ['api'], env),
        startWorkers: (load) => startNodeWorkers('peers/bullmq.ts', env, load),
        processed: () => count(space.database, 'bull_events', "'PROCESSED'"),
        open: () => count(space.database, 'bull_events', "'PENDING', 'PROCESSING'"),
        processedAt: async () => null,
        queued: async () => {}, // a 202 waits for `add`
        async [Symbol.asyncDispose]() {
          await redis[Symbol.asyncDispose]();
          await space[Symbol.asyncDispose]();
        },
      };
    },
  };
}
