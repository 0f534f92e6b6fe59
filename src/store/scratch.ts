import { withConnection } from './connection.ts';
import { migrate } from './migrate.ts';
import { openStore, type Store } from './open-store.ts';

/**
 * A temporary database on the same server as the one in `DATABASE_URL`, for a measurement that must not touch existing
 * data.
 */
export type ScratchDatabase = {
  readonly url: string;
  readonly store: Store;
  /** Removes all events; friendships stay. */
  empty(): Promise<void>;
  drop(): Promise<void>;
};

const deadlineMs = 60_000;

/** Creates the database and its schema. @throws the driver's error, with its `errno`, if the user lacks the right. */
export async function createScratchDatabase(url: string, name: string): Promise<ScratchDatabase> {
  await onServer(url, `CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  try {
    const store = await openStore(own.href, { poolSize: 4, connectTimeoutMs: 5_000 });
    await migrate(store);
    return {
      url: own.href,
      store,
      empty: () =>
        withConnection(store, deadlineMs, async (connection) => {
          for (const table of ['conversation_events', 'conversation_logs'])
            await connection.query(`TRUNCATE TABLE ${table}`);
        }),
      async drop() {
        await store.close();
        await onServer(url, `DROP DATABASE ${name}`);
      },
    };
  } catch (error) {
    await onServer(url, `DROP DATABASE ${name}`);
    throw error;
  }
}

async function onServer(url: string, sql: string): Promise<void> {
  const store = await openStore(url, { poolSize: 1, connectTimeoutMs: 5_000 });
  try {
    await store.pool.promise().query(sql);
  } finally {
    await store.close();
  }
}
