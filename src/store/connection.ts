import type { PoolConnection } from 'mysql2';
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
      reject(new PipelineError('transient', 'DATABASE_TIMEOUT', `the database did not answer within ${deadlineMs} ms`));
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
      // Without a listener an error between two queries would end the process.
      if (connection.listenerCount('error') === 0) connection.on('error', () => {});
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

/** TypeORM's own calls know no deadline: this gives them one. The query itself may run on. */
export async function withDeadline<T>(deadlineMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new PipelineError('transient', 'DATABASE_TIMEOUT', `the database did not answer within ${deadlineMs} ms`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([work(), late]);
  } catch (error) {
    throw classify(error);
  } finally {
    clearTimeout(timer);
  }
}

function query<T>(connection: PoolConnection, sql: string, params: readonly unknown[] = []): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    connection.query(sql, params as unknown[], (error, result) => {
      if (error) reject(classify(error));
      else resolve(result as T);
    });
  });
}
