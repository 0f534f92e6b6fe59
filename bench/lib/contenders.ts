/** Afterword and its peers, each with the same few handles: an API, workers, a count of what is done. */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { countBlocks } from '../../docs/examples/burn-scorer.ts';
import { leanWorker } from '../../src/commands/lean-start.ts';
import { openBroker } from '../../test/support/broker.ts';
import { runCommand, startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import type { Checkout } from './checkout.ts';
import { peerSpace, type Urls } from './peer-space.ts';
import { type Process, startProcess, startProgram } from './process.ts';
import { type Fsync, have, startRedis } from './redis.ts';

export type Workload = {
  readonly workers: number;
  readonly concurrency: number;
  readonly burnMs?: number;
  /** Each event also waits this long, for something outside. */
  readonly waitMs?: number;
  /** More settings of the workers alone. */
  readonly env?: Readonly<Record<string, string>>;
};

const blocksPerMs = String(countBlocks(500));

/** The same work in every process. */
export function burnEnv(burnMs: number): Record<string, string> {
  return { BURN_MS: String(burnMs), BURN_BLOCKS_PER_MS: blocksPerMs };
}

function scorerEnv({ burnMs, waitMs }: Workload): Record<string, string> {
  if (waitMs !== undefined) return { SCORER_MODULE: scorers.wait, WAIT_MS: String(waitMs), ...burnEnv(burnMs ?? 0) };
  return burnMs === undefined ? {} : { SCORER_MODULE: scorers.burn, ...burnEnv(burnMs) };
}

/** A contender's own database and queue, for one round. */
export type Session = {
  readonly database: Pool;
  readonly queue: string;
  startApi(): Promise<Process>;
  startWorkers(load: Workload): Promise<Process[]>;
  /** Events that are scored and settled. */
  processed(): Promise<number>;
  /** Events that are accepted and not settled. */
  open(): Promise<number>;
  /** When each conversation was processed, by its id; null if the contender does not write it down. */
  processedAt(): Promise<ReadonlyMap<string, Date> | null>;
  /** Resolves when `n` accepted events wait in the queue. */
  queued(n: number): Promise<void>;
} & AsyncDisposable;

export type Contender = {
  readonly name: string;
  open(env?: Record<string, string>): Promise<Session>;
};

export const scorers = {
  'no-op': fileURLToPath(new URL('../scorers/no-op.ts', import.meta.url)),
  wait: fileURLToPath(new URL('../scorers/wait.ts', import.meta.url)),
  burn: fileURLToPath(new URL('../../docs/examples/burn-scorer.ts', import.meta.url)),
} as const;

/** @param other  another version of it; this checkout if not given. */
export function afterword(urls: Urls, other?: Checkout): Contender {
  const version = other === undefined ? {} : { main: other.main };
  const migrateWith = async (DATABASE_URL: string) => {
    const { code, output } = await runCommand(['migrate'], { DATABASE_URL, RABBITMQ_URL: urls.rabbitmq }, version);
    if (code !== 0) throw new Error(`the migrations of ${other?.commit} ended with ${code}: ${output}`);
  };
  return {
    name: other === undefined ? 'afterword' : `at ${other.commit}`,
    async open(env = {}) {
      // Whatever is not named has its default; a test's namespace asks for more than a production would.
      const settings = { LOG_LEVEL: 'warn', RELAY_INTERVAL_MS: '1000', SCORER_MODULE: scorers['no-op'], ...env };
      const space = await createNamespace(urls, settings, other === undefined ? {} : { migrateWith });
      const broker = await openBroker(urls.rabbitmq);
      return {
        database: space.database,
        queue: space.queue,
        startApi: () => startMember('api', space.env, version),
        startWorkers: (load) => {
          const { workers, concurrency, env: more } = load;
          const settings = {
            ...leanWorker, // as a fleet starts them
            ...space.env,
            ...more,
            MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
            WORKER_REPLICAS: String(workers),
            ...scorerEnv(load),
          };
          return Promise.all(Array.from({ length: workers }, () => startMember('worker', settings, version)));
        },
        processed: () => count(space.database, 'conversation_events', "'PROCESSED'"),
        open: () => count(space.database, 'conversation_events', "'PENDING', 'PROCESSING'"),
        async processedAt() {
          const [rows] = await space.database.query<RowDataPacket[]>(
            "SELECT conversation_id, processed_at FROM conversation_events WHERE status = 'PROCESSED'",
          );
          return new Map(rows.map((row) => [String(row['conversation_id']), row['processed_at'] as Date]));
        },
        queued: async (n) => {
          while ((await broker.depth(space.queue)) < n) await delay(50);
        },
        async [Symbol.asyncDispose]() {
          await broker.close();
          await space.dispose();
        },
      };
    },
  };
}

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

/** The one that Debian's packages belong to; another may come first in PATH. */
const python = '/usr/bin/python3';

export function celery(urls: Urls): Contender {
  return {
    name: 'Celery + FastAPI',
    async open() {
      const space = await peerSpace(urls);
      await space.database.query(`CREATE TABLE celery_events (event_id CHAR(36) PRIMARY KEY, conversation_id VARCHAR(255) NOT NULL UNIQUE,
        user_id VARCHAR(255) NOT NULL, body MEDIUMTEXT NOT NULL, status VARCHAR(10) NOT NULL, score DOUBLE NULL, created_at DATETIME(3) NOT NULL)`);
      await space.database.query('CREATE TABLE celery_friendship (user_id VARCHAR(255) PRIMARY KEY, friendship_score DOUBLE NOT NULL)');
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
              // C_FORCE_ROOT: a bench may run as root in a container.
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

/** The peers that can run on this machine; the others with the reason. */
export async function findPeers(urls: Urls): Promise<{ readonly peers: Contender[]; readonly missing: Record<string, string> }> {
  const peers = [plain(urls)];
  const missing: Record<string, string> = {};
  if (await have('redis-server', ['--version'], ['redis-server'])) peers.push(bullmq(urls, 'always'), bullmq(urls, 'everysec'));
  else missing['BullMQ'] = 'redis-server is not installed and could not be';
  const modules = 'import celery, fastapi, uvicorn, pymysql';
  const packages = ['python3-celery', 'python3-fastapi', 'python3-uvicorn', 'python3-pymysql'];
  if (await have(python, ['-c', modules], packages)) peers.push(celery(urls));
  else missing['Celery + FastAPI'] = `Debian's python3 cannot "${modules}", and the packages could not be installed`;
  return { peers, missing };
}

function startNodeWorkers(
  file: string,
  env: Record<string, string>,
  { workers, concurrency, burnMs = 0, waitMs = 0 }: Workload,
): Promise<Process[]> {
  const settings = { ...env, CONCURRENCY: String(concurrency), WAIT_MS: String(waitMs), ...burnEnv(burnMs) };
  return Promise.all(Array.from({ length: workers }, () => startProcess(file, ['worker'], settings)));
}

async function count(database: Pool, table: string, status: string): Promise<number> {
  const [rows] = await database.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table} WHERE status IN (${status})`);
  return Number(rows[0]?.['n']);
}
