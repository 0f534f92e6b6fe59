import { PipelineError } from '../event/fault.ts';
import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

const inserted = {
  conversation_events:
    'event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time, end_time, request_digest, status, ' +
    'created_at, updated_at',
  conversation_logs: 'event_id, conversation_log',
  friendship_status: 'user_id, updated_at',
  friendship_topic_metrics: 'user_id, topic_id, score, turns, level, last_date',
  fleet_members: 'member_id, role, name, host, pid, version, state, started_at, seen_at, cpu_percent, rss_bytes',
} as const;
const updated = {
  conversation_events: 'status = status WHERE event_id',
  friendship_status: 'updated_at = updated_at WHERE user_id',
  friendship_topic_metrics: 'last_date = last_date WHERE user_id',
  fleet_members: 'seen_at = seen_at WHERE member_id',
  fleet_profiles: 'seconds = seconds WHERE member_id',
} as const;

const statements = [
  ...Object.entries(inserted).map(
    ([table, columns]) => `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${table} WHERE FALSE`,
  ),
  ...Object.entries(updated).map(([table, change]) => `UPDATE ${table} SET ${change} = ''`),
];

/**
 * Tries every kind of write that accepting and settling need, on no rows. It is one round trip that writes nothing, and
 * a read-only server, a replica or a missing right refuses it just as it would refuse the real writes.
 *
 * @throws {PipelineError} with the server's error as `cause`.
 */
export function probeWrites(store: Store, deadlineMs: number): Promise<void> {
  return withConnection(store, deadlineMs, async (connection) => {
    await connection.batch(statements.map((statement) => [statement]));
  });
}

/** Tries what retention does, on no rows. @throws {PipelineError} with the server's error as `cause`. */
export function probeRemoval(store: Store, deadlineMs: number): Promise<void> {
  return withConnection(store, deadlineMs, async (connection) => {
    for (const table of ['conversation_logs', 'conversation_events'])
      await connection.query(`DELETE FROM ${table} WHERE event_id = ''`);
  });
}

const deniedErrnos = new Set<unknown>([1044, 1142, 1143, 1227]);

/** @returns the server's message if the error means that a right is missing, else null. */
export function missingRight(error: unknown): string | null {
  const cause =
    error instanceof PipelineError ? (error.cause as { errno?: unknown; message?: string } | undefined) : undefined;
  return cause !== undefined && deniedErrnos.has(cause.errno) ? (cause.message ?? 'denied') : null;
}
