import type { PoolConnection } from 'mysql2';
import type { EntityManager } from 'typeorm';
import { PipelineError } from '../event/fault.ts';
import { classify } from './errors.ts';
import type { Store } from './open-store.ts';

/** A checked-out connection that speaks promises and throws classified errors. */
export type Connection = {
  /** Text protocol; `?` placeholders are escaped by the driver. @throws {PipelineError} */
  query<T = unknown>(sql: string, params?: readonly unknown[]): Promise<T>;
};

/**
 * Runs `work` on one connection, within `deadlineMs` including the wait for the connection.
 * At the deadline the connection is destroyed (a silent peer would hold it for ever) and the call fails (transient).
 */
export function withConnection<T>(store: Store, deadlineMs: number, work: (connection: Connection) => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let raw: PoolConnection | undefined;
    let done = false;
    const timer = setTimeout(() => {
      done = true;
      raw?.destroy();
      reject(deadlineMissed(deadlineMs));
    }, deadlineMs);

    function finish(settle: () => void): void {
      clearTimeout(timer);
      if (done) return;
      done = true;
      settle();
    }

    store.pool.getConnection((error, connection) => {
      if (error) return finish(() => reject(classify(error)));
      if (done) return connection.release();
      raw = connection;
      work({ query: (sql, params) => query(connection, sql, params) }).then(
        (result) =>
          finish(() => {
            connection.release();
            resolve(result);
          }),
        (failure: unknown) =>
          finish(() => {
            // A transaction may be open: a fresh connection is cheaper than knowing.
            connection.destroy();
            reject(failure);
          }),
      );
    });
  });
}

/** `withConnection` inside one READ COMMITTED transaction; anything thrown rolls back. */
export function inTransaction<T>(store: Store, deadlineMs: number, work: (connection: Connection) => Promise<T>): Promise<T> {
  return withConnection(store, deadlineMs, async (connection) => {
    await connection.query('START TRANSACTION');
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  });
}

/**
 * Runs TypeORM's calls on one connection, with the same deadline and the same end for a connection that misses it: TypeORM
 * knows neither, and calls that wait for a silent database would keep the pool's connections one by one.
 */
export function withManager<T>(store: Store, deadlineMs: number, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const runner = store.dataSource.createQueryRunner();
    let raw: PoolConnection | undefined;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      raw?.destroy();
      reject(deadlineMissed(deadlineMs));
    }, deadlineMs);

    async function run(): Promise<T> {
      raw = (await runner.connect()) as PoolConnection;
      try {
        if (late) throw deadlineMissed(deadlineMs);
        return await work(runner.manager);
      } finally {
        await runner.release();
      }
    }

    run()
      .then(resolve, (error: unknown) => reject(classify(error)))
      .finally(() => clearTimeout(timer));
  });
}

function deadlineMissed(deadlineMs: number): PipelineError {
  return new PipelineError('transient', 'DATABASE_TIMEOUT', `the database did not answer within ${deadlineMs} ms`);
}

function query<T>(connection: PoolConnection, sql: string, params: readonly unknown[] = []): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    connection.query(sql, params as unknown[], (error, result) => {
      if (error) reject(classify(error));
      else resolve(result as T);
    });
  });
}
