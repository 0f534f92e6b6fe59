import type { Member, MemberState, SeenMember, Vitals } from '../members/ports.ts';
import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

const vitalColumns = [
  'state',
  'concurrency',
  'in_flight',
  'threads',
  'busy_threads',
  'processed',
  'cpu_percent',
  'rss_bytes',
] as const;

function valuesOf(v: Vitals): unknown[] {
  return [v.state, v.concurrency, v.inFlight, v.threads, v.busyThreads, v.processed, v.cpuPercent, v.rssBytes];
}

const setVitals = `${vitalColumns.map((column) => `${column} = ?`).join(', ')}, seen_at = UTC_TIMESTAMP(3)`;

/**
 * Adds a member, in the row of one that was last seen over a day ago if there is one: the table stays as large as the
 * fleet of a day, and no right to delete is needed.
 */
export async function joinFleet(store: Store, member: Member, vitals: Vitals, deadlineMs: number): Promise<void> {
  const identity = [
    member.memberId,
    member.role,
    member.name.slice(0, 100),
    member.host.slice(0, 255),
    member.pid,
    member.version,
    member.scorer?.slice(0, 255) ?? null,
  ];
  await withConnection(store, deadlineMs, async (connection) => {
    const { affectedRows } = await connection.query<{ affectedRows: number }>(
      `UPDATE fleet_members SET member_id = ?, role = ?, name = ?, host = ?, pid = ?, version = ?, scorer = ?,
         started_at = UTC_TIMESTAMP(3), ${setVitals}
       WHERE seen_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY ORDER BY seen_at LIMIT 1`,
      [...identity, ...valuesOf(vitals)],
    );
    if (affectedRows > 0) return;
    await connection.query(
      `INSERT INTO fleet_members
         (member_id, role, name, host, pid, version, scorer, started_at, ${vitalColumns.join(', ')}, seen_at)
       VALUES (?,?,?,?,?,?,?,UTC_TIMESTAMP(3),${vitalColumns.map(() => '?').join(',')},UTC_TIMESTAMP(3))
       ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at)`,
      [...identity, ...valuesOf(vitals)],
    );
  });
}

/** @returns how often operators have asked something of this member; null if it has no row any more. */
export async function sendHeartbeat(
  store: Store,
  memberId: string,
  vitals: Vitals,
  deadlineMs: number,
): Promise<number | null> {
  // LAST_INSERT_ID(x) returns a column of the row with the answer to the UPDATE: no second statement is needed.
  const { affectedRows, insertId } = await withConnection(store, deadlineMs, (connection) =>
    connection.prepared<{ affectedRows: number; insertId: number }>(
      `UPDATE fleet_members SET ${setVitals}, asked = LAST_INSERT_ID(asked) WHERE member_id = ?`,
      [...valuesOf(vitals), memberId],
    ),
  );
  return affectedRows > 0 ? insertId : null;
}

/** The same, without a heartbeat. */
export async function readAsked(store: Store, memberId: string, deadlineMs: number): Promise<number | null> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.prepared<{ asked: number }[]>('SELECT asked FROM fleet_members WHERE member_id = ?', [memberId]),
  );
  return row?.asked ?? null;
}

type Row = {
  member_id: string;
  role: 'api' | 'worker';
  name: string;
  host: string;
  pid: number;
  version: string;
  scorer: string | null;
  state: MemberState;
  started_at: Date;
  seen_at: Date;
  silent_ms: number;
  concurrency: number | null;
  in_flight: number | null;
  threads: number | null;
  busy_threads: number | null;
  processed: number | null;
  cpu_percent: number;
  rss_bytes: number;
};

/** The members of the last day, by role and name, with how many events each one's worker has in PROCESSING. */
export function listMembers(store: Store, deadlineMs: number): Promise<SeenMember[]> {
  return withConnection(store, deadlineMs, async (connection) => {
    const [rows, counts] = (await connection.batch([
      [
        `SELECT member_id, role, name, host, pid, version, scorer, started_at, seen_at, ${vitalColumns.join(', ')},
           TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(3)) / 1000 AS silent_ms
         FROM fleet_members WHERE seen_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY ORDER BY role, host, name, started_at`,
      ],
      [
        `SELECT worker, COUNT(*) AS n FROM conversation_events FORCE INDEX (ix_conversation_events_status)
         WHERE status = 'PROCESSING' GROUP BY worker`,
      ],
    ])) as [Row[], { worker: string | null; n: number }[]];
    const processing = new Map(counts.map(({ worker, n }) => [worker, Number(n)]));
    return rows.map((r) => ({
      memberId: r.member_id,
      role: r.role,
      name: r.name,
      host: r.host,
      pid: r.pid,
      version: r.version,
      scorer: r.scorer,
      state: r.state,
      startedAt: r.started_at,
      seenAt: r.seen_at,
      silentMs: Number(r.silent_ms),
      concurrency: r.concurrency,
      inFlight: r.in_flight,
      threads: r.threads,
      busyThreads: r.busy_threads,
      processed: r.processed,
      cpuPercent: Number(r.cpu_percent),
      rssBytes: Number(r.rss_bytes),
      processing: processing.get(workerName(r)) ?? 0,
    }));
  });
}

/** How a worker signs the attempts that it shows as PROCESSING. */
export function workerName({ host, pid }: { readonly host: string; readonly pid: number }): string {
  return `${host}:${pid}`.slice(-100);
}
