import { setTimeout as delay } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import { leanWorker } from '../../src/start/lean-start.ts';
import { openBroker } from '../../test/support/broker.ts';
import { runCommand, startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import type { Checkout } from '../lib/checkout.ts';
import type { Urls } from '../lib/peer-space.ts';
import { type Contender, count } from './contender.ts';
import { scorerEnv, scorers } from './scorers.ts';

/** @param other  another version of Afterword; this checkout if omitted. */
export function afterword(urls: Urls, other?: Checkout): Contender {
  const version = other === undefined ? {} : { main: other.main };
  const migrateWith = async (DATABASE_URL: string) => {
    const { code, output } = await runCommand(['migrate'], { DATABASE_URL, RABBITMQ_URL: urls.rabbitmq }, version);
    if (code !== 0) throw new Error(`the migrations of ${other?.commit} ended with ${code}: ${output}`);
  };
  return {
    name: other === undefined ? 'afterword' : `at ${other.commit}`,
    async open(env = {}) {
      // Settings not named here have their defaults; a test's namespace asks for more than production would.
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
