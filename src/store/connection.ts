import type { ExecuteValues, PoolConnection } from 'mysql2';
import { PipelineError } from '../event/fault.ts';
import { classify } from './errors.ts';
import type { Store } from './open-store.ts';

/** A statement with its values; `?` placeholders are escaped by the driver. */
export type Statement = readonly [sql: string, params?: readonly unknown[]];

/** A checked-out connection that returns promises and throws classified errors. */
export type Connection = {
  /** Text protocol. @throws {PipelineError} */
  query<T = unknown>(...statement: Statement): Promise<T>;
  /**
   * Prepared on first use and cached by the connection: the text is not parsed again and values are not escaped. For
   * a small set of statements that run often. @throws {PipelineError}
   */
  prepared<T = unknown>(...statement: Statement): Promise<T>;
  /**
   * Runs several statements in one packet: one round trip instead of one each. The server stops at the first that
   * fails; undoing the earlier ones is up to the caller's transaction. @throws {PipelineError}
   */
  batch(statements: readonly Statement[]): Promise<unknown[]>;
};

/**
 * Runs `work` on one connection, within `deadlineMs` including the wait for the connection.
 * At the deadline the connection is destroyed (a silent peer would hold it forever) and the call fails (transient).
 *
 * @param from  `accepts`: a connection without autocommit; its first statement begins a transaction that `work` ends.
 */
export function withConnection<T>(
  store: Store,
  deadlineMs: number,
  work: (connection: Connection) => Promise<T>,
  from: 'pool' | 'accepts' = 'pool',
): Promise<T> {
  const { usage } = store;
  usage.waiting++;
  return new Promise<T>((resolve, reject) => {
    let raw: PoolConnection | undefined;
    let done = false;
    const timer = setTimeout(() => {
      done = true;
      if (raw === undefined) usage.waiting--;
      else usage.inUse--;
      raw?.destroy();
      reject(deadlineMissed(deadlineMs));
    }, deadlineMs);

    function finish(settle: () => void): void {
      clearTimeout(timer);
      if (done) return;
      done = true;
      if (raw === undefined) usage.waiting--;
      else usage.inUse--;
      settle();
    }

    store[from].getConnection((error, connection) => {
      if (error) return finish(() => reject(classify(error)));
      if (done) return connection.release();
      raw = connection;
      usage.waiting--;
      usage.inUse++;
      work(speak(connection)).then(
        (result) =>
          finish(() => {
            connection.release();
            resolve(result);
          }),
        (failure: unknown) =>
          finish(() => {
            // A transaction may be open: a new connection is cheaper than finding out.
            connection.destroy();
            reject(failure);
          }),
      );
    });
  });
}

/** `withConnection` inside one READ COMMITTED transaction; anything thrown rolls back. */
export function inTransaction<T>(
  store: Store,
  deadlineMs: number,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return withConnection(store, deadlineMs, async (connection) => {
    await connection.query('START TRANSACTION');
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  });
}

function deadlineMissed(deadlineMs: number): PipelineError {
  return new PipelineError('transient', 'DATABASE_TIMEOUT', `the database did not answer within ${deadlineMs} ms`);
}

function speak(connection: PoolConnection): Connection {
  return {
    query: (sql, params) => query(connection, sql, params),
    prepared: (sql, params) => prepared(connection, sql, params),
    batch: (statements) => batch(connection, statements),
  };
}

/** The server has reached its `max_prepared_stmt_count`. */
const noMorePrepared = 1461;

function prepared<T>(connection: PoolConnection, sql: string, params: readonly unknown[] = []): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    connection.execute(sql, params as ExecuteValues[], (error, result) => {
      if (error?.errno === noMorePrepared) query<T>(connection, sql, params).then(resolve, reject);
      else if (error) reject(classify(error));
      else resolve(result as T);
    });
  });
}

async function batch(connection: PoolConnection, statements: readonly Statement[]): Promise<unknown[]> {
  if (statements.length === 1 && statements[0]) return [await query(connection, ...statements[0])];
  return query<unknown[]>(
    connection,
    statements.map(([sql]) => sql).join(';\n'),
    statements.flatMap(([, params]) => params ?? []),
  );
}

function query<T>(connection: PoolConnection, sql: string, params: readonly unknown[] = []): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    connection.query(sql, params as unknown[], (error, result) => {
      if (error) reject(classify(error));
      else resolve(result as T);
    });
  });
}
