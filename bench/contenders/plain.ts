import { peerSpace, type Urls } from '../lib/peer-space.ts';
import { startProcess } from '../lib/process.ts';
import { type Contender, count } from './contender.ts';
import { startNodeWorkers } from './node-workers.ts';

export function plain(urls: Urls): Contender {
  return {
    name: 'plain pipeline',
    async open() {
      const space = await peerSpace(urls);
      return {
        database: space.database,
        queue: space.queue,
        startApi: () => startProcess('peers/plain.ts', ['api'], space.env),
        startWorkers: (load) => startNodeWorkers('peers/plain.ts', space.env, load),
        processed: () => count(space.database, 'plain_events', "'PROCESSED'"),
        open: () => count(space.database, 'plain_events', "'PENDING', 'PROCESSING'"),
        processedAt: async () => null,
        queued: async () => {}, // a 202 waits for the confirm
        [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
      };
    },
  };
}
