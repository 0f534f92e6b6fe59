import type { DatabaseFacts } from '../operate/ports.ts';
import { withConnection } from './connection.ts';
import { needsMigration } from './migrate.ts';
import type { Store } from './open-store.ts';
import { probeWrites } from './probe-writes.ts';

type Row = Record<string, unknown>;

/** @throws {PipelineError} if the database does not answer. */
export async function inspectDatabase(store: Store, deadlineMs: number): Promise<DatabaseFacts> {
  const facts = await withConnection(store, deadlineMs, async (connection) => {
    const [server] = await connection.query<Row[]>(
      `SELECT VERSION() AS version, @@innodb_flush_log_at_trx_commit AS flush_at_commit, @@log_bin AS log_bin,
        @@sync_binlog AS sync_binlog,
         @@max_connections AS max_connections, @@max_allowed_packet AS max_packet,
         @@character_set_connection AS charset, TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW()) AS zone_offset`,
    );
    // Only MariaDB has a separate limit for sessions that are idle in a transaction.
    const [idle] = await connection.query<Row[]>(
      'SELECT @@SESSION.wait_timeout /*M! , @@SESSION.idle_transaction_timeout */',
    );
    const [threads] = await connection.query<Row[]>("SHOW GLOBAL STATUS LIKE 'Threads_connected'");
    const askedAt = Date.now();
    const [clock] = await connection.query<Row[]>('SELECT UTC_TIMESTAMP(3) AS now');
    const answeredAt = Date.now();
    return { server, idle, threads, clock, askedAt, answeredAt };
  });
  const schemaCurrent = !(await needsMigration(store, deadlineMs));
  const server = facts.server ?? {};
  const version = String(server['version']);
  const roundTripMs = facts.answeredAt - facts.askedAt;
  return {
    version,
    isMariaDb: /mariadb/i.test(version),
    flushAtCommit: Number(server['flush_at_commit']),
    binaryLog: Number(server['log_bin']) === 1,
    syncBinlog: Number(server['sync_binlog']),
    maxConnections: Number(server['max_connections']),
    connections: Number(facts.threads?.['Value']),
    maxAllowedPacket: Number(server['max_packet']),
    writesRefused: schemaCurrent ? await whyNoWrites(store, deadlineMs) : null,
    charset: String(server['charset']),
    idleLimitS: Math.min(
      ...Object.values(facts.idle ?? {})
        .map(Number)
        .filter((seconds) => seconds > 0),
    ),
    sessionOffsetMinutes: Number(server['zone_offset']),
    clockSkewMs: Math.round(Number(facts.clock?.['now']) - (facts.askedAt + roundTripMs / 2)),
    roundTripMs,
    schemaCurrent,
  };
}

async function whyNoWrites(store: Store, deadlineMs: number): Promise<string | null> {
  return probeWrites(store, deadlineMs).then(
    () => null,
    (error: { message: string; cause?: { message?: string } }) => error.cause?.message ?? error.message,
  );
}
