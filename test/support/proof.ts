import { vi } from 'vitest';
import { openBroker } from './broker.ts';
import { post, rows } from './client.ts';
import type { Fleet } from './fleet.ts';
import { runCommand } from './member.ts';
import type { Traffic } from './traffic.ts';

/** What became of everything accepted in one stream. If the promises hold, the lists are empty. */
export type Proof = {
  readonly accepted: number;
  readonly processed: number;
  readonly failed: number;
  /** Accepted, but missing from the table or there under another event id. */
  readonly lost: readonly string[];
  /** Users whose friendship or topic is not the exact sum of their processed events. */
  readonly wrongSums: readonly string[];
  /** FAILED but not meant to fail, or meant to fail but not FAILED. */
  readonly wronglyEnded: readonly string[];
  /** FAILED without a dead letter. */
  readonly withoutLetter: readonly string[];
  /** Posted again, but not answered 202, not a replay, or with another event id. */
  readonly wrongReplays: readonly string[];
  /** What `afterword audit` found. */
  readonly violations: readonly unknown[];
};

type Row = {
  readonly event_id: string;
  readonly conversation_id: string;
  readonly status: string;
  readonly error_code: string | null;
};

/** An event counts as poison if its worker was killed with it again and again, whatever the cause: a valid end. */
const killedAgainAndAgain = 'POISON';

/**
 * Waits until all events of the stream are closed and checks the promises on them.
 *
 * @param expected.failing  conversations that must end as FAILED.
 * @param expected.lettersSince  dead letters of earlier failures were lost with a broker's data.
 */
export async function prove(
  fleet: Fleet,
  traffic: Traffic,
  stream: string,
  expected: {
    readonly failing?: ReadonlySet<string>;
    readonly lettersSince?: Date;
    readonly replays?: number;
    readonly restMs?: number;
  } = {},
): Promise<Proof> {
  const { database } = fleet.space;
  await vi.waitFor(
    async () => {
      const open = await rows<Row>(
        database,
        'SELECT event_id, conversation_id, status, error_code FROM conversation_events ' +
          "WHERE status IN ('PENDING', 'PROCESSING') LIMIT 5",
      );
      if (open.length > 0) throw new Error(`still open: ${JSON.stringify(open)}`);
    },
    { timeout: expected.restMs ?? 150_000, interval: 250 },
  );
  const events = await rows<Row>(
    database,
    'SELECT event_id, conversation_id, status, error_code FROM conversation_events WHERE conversation_id LIKE ?',
    [`${stream}\\_%`],
  );
  const byId = new Map(events.map((row) => [row.conversation_id, row]));
  const failing = expected.failing ?? new Set();
  const isWrong = (row: Row) =>
    failing.has(row.conversation_id)
      ? row.status !== 'FAILED'
      : row.status !== 'PROCESSED' && row.error_code !== killedAgainAndAgain;

  return {
    accepted: traffic.accepted.size,
    processed: events.filter((row) => row.status === 'PROCESSED').length,
    failed: events.filter((row) => row.status === 'FAILED').length,
    lost: [...traffic.accepted].filter(([id, { eventId }]) => byId.get(id)?.event_id !== eventId).map(([id]) => id),
    wrongSums: await wrongSumsOf(fleet, stream),
    wronglyEnded: events.filter(isWrong).map((row) => `${row.conversation_id} ${row.status} ${row.error_code}`),
    withoutLetter: await withoutLetter(fleet, stream, expected.lettersSince ?? new Date(0)),
    wrongReplays: await wrongReplays(fleet, traffic, expected.replays ?? 100),
    violations: await auditViolations(fleet),
  };
}

/** Our own sums, independent of the audit. Users with negative changes are left to the audit, which knows the floor. */
async function wrongSumsOf(fleet: Fleet, stream: string): Promise<string[]> {
  const mine = "e.user_id LIKE ? AND e.user_id NOT LIKE '%\\_scolded'";
  const users = await rows<{ id: string }>(
    fleet.space.database,
    `SELECT e.user_id AS id FROM conversation_events e LEFT JOIN friendship_status f ON f.user_id = e.user_id
     WHERE e.status = 'PROCESSED' AND ${mine}
     GROUP BY e.user_id, f.friendship_score HAVING f.friendship_score IS NULL OR f.friendship_score <>
     SUM(e.friendship_score_change)`,
    [`${stream}\\_%`],
  );
  const topics = await rows<{ id: string }>(
    fleet.space.database,
    `SELECT CONCAT(e.user_id, ' ', e.agent_tag) AS id FROM conversation_events e
     LEFT JOIN friendship_topic_metrics t ON t.user_id = e.user_id AND t.topic_id = e.agent_tag
     WHERE e.status = 'PROCESSED' AND e.agent_tag IS NOT NULL AND ${mine}
     GROUP BY e.user_id, e.agent_tag, t.score HAVING t.score IS NULL OR t.score <> SUM(e.friendship_score_change)`,
    [`${stream}\\_%`],
  );
  return [...users, ...topics].map((row) => row.id);
}

/** Waits for the letters: a row is FAILED a moment before its dead letter arrives. */
async function withoutLetter(fleet: Fleet, stream: string, since: Date): Promise<string[]> {
  const failed = await rows<{ id: string }>(
    fleet.space.database,
    "SELECT event_id AS id FROM conversation_events WHERE status = 'FAILED' AND conversation_id LIKE ? " +
      'AND updated_at > ?',
    [`${stream}\\_%`, since],
  );
  if (failed.length === 0) return [];
  const broker = await openBroker(fleet.servers.broker.url);
  try {
    let missing = failed.map((row) => row.id);
    await vi
      .waitFor(
        async () => {
          const there = await broker.peekIds(fleet.space.deadQueue);
          missing = missing.filter((id) => !there.has(id));
          if (missing.length > 0) throw new Error('not yet');
        },
        { timeout: 20_000, interval: 250 },
      )
      .catch(() => {});
    return missing;
  } finally {
    await broker.close();
  }
}

async function wrongReplays(fleet: Fleet, traffic: Traffic, n: number): Promise<string[]> {
  const all = [...traffic.accepted];
  const step = Math.max(1, Math.floor(all.length / n));
  const wrong: string[] = [];
  for (const [id, { eventId, body }] of all.filter((_, i) => i % step === 0)) {
    const answer = await vi.waitFor(
      async () => {
        const given = await post(fleet.url, body);
        if (given.status === 503) throw new Error('busy');
        return given;
      },
      { timeout: 20_000 },
    );
    if (answer.status !== 202 || answer.body.event_id !== eventId || answer.headers['idempotency-replayed'] !== 'true')
      wrong.push(id);
  }
  return wrong;
}

async function auditViolations(fleet: Fleet): Promise<unknown[]> {
  const { code, output } = await runCommand(['audit', '--json'], fleet.space.env);
  if (code !== 0 && code !== 1) throw new Error(`audit ended with ${code}: ${output}`);
  const report = JSON.parse(output) as { violations: unknown[] };
  return report.violations;
}
