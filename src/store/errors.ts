import { PipelineError } from '../event/fault.ts';

/**
 * Server errors that pass without help. Listed by number, because mysql2 has wrong symbolic names for those that are
 * specific to MariaDB.
 * Source: the error references of MySQL 8.4 and MariaDB 10.11.
 */
const transientErrnos = new Set([
  1021, // disk full
  1030, // storage engine
  1047, // Galera: node not ready
  1180, // commit failed
  1412, // table definition changed under the transaction
  3100,
  3101, // group replication refuses the transaction
  1040, // too many connections
  1041, // out of memory
  1053, // server shutdown in progress
  1114, // table full
  1129, // host blocked after many broken connections
  1152, // aborted connection
  1158,
  1159,
  1160,
  1161, // network read and write errors
  1203,
  1226, // user has too many connections
  1290,
  1836,
  1792, // read-only server or transaction
  1317,
  1927,
  3024, // query or connection killed
  1969, // MariaDB: statement timeout
  1243,
  1615, // prepared statement unknown or out of date (behind a proxy, after a schema change)
]);

/**
 * Our statements that this database can never run: a bug of ours, or a schema that was changed. Source: the same
 * references.
 */
const bugErrnos = new Set([1046, 1052, 1054, 1064, 1109, 1110, 1136, 1146, 1149, 1210, 1231, 1305, 1318, 1364]);

/**
 * Another transaction holds a row for longer than we wait: lock wait timeout, or NOWAIT (for which MariaDB returns
 * 1205).
 */
const lockedErrnos = new Set([1205, 3572]);
const deadlock = 1213;

/** The row itself is refused: too long, wrong value, constraint, packet too large. */
const refusedErrnos = new Set([
  1048, 1118, 1153, 1264, 1265, 1292, 1366, 1406, 3140, 3141, 3157, 3819, 3903, 4025, 4038,
]);

/** Duplicate entry for a unique key. */
const duplicate = 1062;

/** @returns whether the error means that a row already exists. The transaction may still be open. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof PipelineError && (error.cause as DriverError | undefined)?.errno === duplicate;
}

const lostCodes = new Set<unknown>(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE']);

/** @returns whether an established connection was lost. Its last statement may have taken effect. */
export function isConnectionLost(error: PipelineError): boolean {
  return lostCodes.has((error.cause as DriverError | undefined)?.code);
}

type DriverError = {
  readonly errno?: unknown;
  readonly code?: unknown;
  readonly fatal?: unknown;
  readonly sqlState?: unknown;
};

/** Classifies a driver's error once, here, where its numbers are understood. Our own errors pass through. */
export function classify(error: unknown): PipelineError {
  if (error instanceof PipelineError) return error;
  const e = (typeof error === 'object' && error !== null ? error : {}) as DriverError;
  const code = String(e.code ?? 'UNKNOWN');
  if (typeof e.errno === 'number' && transientErrnos.has(e.errno)) {
    return new PipelineError('transient', 'DATABASE_UNAVAILABLE', `the database is unavailable (errno ${e.errno})`, {
      cause: error,
    });
  }
  if (typeof e.errno === 'number' && lockedErrnos.has(e.errno)) {
    return new PipelineError('transient', 'DATABASE_LOCKED', `another transaction holds a row (errno ${e.errno})`, {
      cause: error,
    });
  }
  if (e.errno === deadlock) {
    return new PipelineError(
      'transient',
      'DATABASE_DEADLOCK',
      'the database rolled this transaction back in favour of another',
      {
        cause: error,
      },
    );
  }
  if (typeof e.errno === 'number' && refusedErrnos.has(e.errno)) {
    return new PipelineError('permanent', 'ROW_REFUSED', `the database refuses the row (errno ${e.errno})`, {
      cause: error,
    });
  }
  // No SQL state: the error did not come from the server, so the connection is at fault.
  if (e.fatal === true || e.sqlState === undefined) {
    return new PipelineError('transient', 'DATABASE_UNAVAILABLE', `the database cannot be reached (${code})`, {
      cause: error,
    });
  }
  // Proxies have error numbers of their own, and rights may be granted again: unknown errors count as transient.
  const kind = bugErrnos.has(Number(e.errno)) ? 'bug' : 'transient';
  return new PipelineError(kind, 'DATABASE_ERROR', `unexpected database error (errno ${String(e.errno)})`, {
    cause: error,
  });
}
