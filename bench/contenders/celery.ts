import { setTimeout as delay } from 'node:timers/promises';
import { peerSpace, type Urls } from '../lib/peer-space.ts';
import { startProgram } from '../lib/process.ts';
import { type Contender, count } from './contender.ts';

/** The Python that Debian's packages belong to; another may come first in PATH. */
export const python = '/usr/bin/python3';

export function celery(urls: Urls): Contender {
  return {
    name: 'Celery + FastAPI',
    async open() {
      const space = await peerSpace(urls);
      await space.database.query(`CREATE TABLE celery_events (event_id CHAR(36) PRIMARY KEY,
        conversation_id VARCHAR(255) NOT NULL UNIQUE,
        user_id VARCHAR(255) NOT NULL, body MEDIUMTEXT NOT NULL, status VARCHAR(10) NOT NULL, score DOUBLE NULL,
        created_at DATETIME(3) NOT NULL)`);
      await space.database.query(
        'CREATE TABLE celery_friendship (user_id VARCHAR(255) PRIMARY KEY, friendship_score DOUBLE NOT NULL)',
      );
      return {
        database: space.database,
        queue: space.queue,
        startApi: () => {
          const port = 20_000 + Math.floor(Math.random() * 20_000);
          const args = [
            '-m',
            'uvicorn',
            'celery_peer:web',
            '--host',
            '127.0.0.1',
            '--port',
            String(port),
            '--no-access-log',
            '--log-level',
            'warning',
          ];
          const url = `http://127.0.0.1:${port}`;
          return startProgram(python, args, space.env, async () => {
            while (
              !(await fetch(url).then(
                () => true,
                () => false,
              ))
            )
              await delay(100);
            return url;
          });
        },
        startWorkers: ({ workers, concurrency, burnMs }) =>
          Promise.all(
            Array.from({ length: workers }, (_, i) => {
              const args = [
                '-m',
                'celery',
                '-A',
                'celery_peer',
                'worker',
                '-c',
                String(concurrency),
                '-n',
                `w${i}@%h`,
                '--loglevel',
                'WARNING',
                '--without-gossip',
                '--without-mingle',
              ];
              // C_FORCE_ROOT: the benchmark may run as root in a container.
              const env = { ...space.env, C_FORCE_ROOT: '1', BURN_MS: String(burnMs ?? 0) };
              return startProgram(python, args, env, (child) => {
                let text = '';
                return new Promise((resolve) => {
                  for (const stream of [child.stdout, child.stderr]) {
                    stream?.on('data', (chunk: Buffer) => {
                      if (text.length < 100_000) text += chunk.toString();
                      if (text.includes(' ready.')) resolve('');
                    });
                  }
                });
              });
            }),
          ),
        processed: () => count(space.database, 'celery_events', "'PROCESSED'"),
        open: () => count(space.database, 'celery_events', "'PENDING', 'PROCESSING'"),
        processedAt: async () => null,
        queued: async () => {},
        [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
      };
    },
  };
}
