import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { auditSources } from '../../src/commands/audit.ts';
import { loadConfig } from '../../src/config.ts';
import { audit } from '../../src/operate/index.ts';
import { openStore, type Store } from '../../src/store/index.ts';
import { explain, recordStatements } from '../support/explain.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** The audit's queries on a large table: index ranges, whatever the planner would prefer. */

const events = 1_000_000;
const users = 1_000;

let space: Namespace;
let store: Store;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const { database } = space;
  // UUIDs with a common time prefix, as version 7 ones have.
  await database.query(`
    INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, agent_tag,
    start_time, end_time,
      request_digest, status, next_attempt_at, friendship_score_change, new_friendship_level,
      score_calculation_details, processed_at, error_code,
      created_at, updated_at)
    WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)
    SELECT CONCAT('019a0000-', LPAD(HEX(a.i), 4, '0'), '-7000-8000-', LPAD(HEX(b.i), 12, '0')), CONCAT('conv_', a.i,
    '_', b.i), CONCAT('user_', b.i),
      't', 'b', 'n', 'pets', '2026-01-01', '2026-01-02', '',
      CASE WHEN a.i > 0 THEN 'PROCESSED' WHEN b.i < 20 THEN 'PENDING' ELSE 'FAILED' END, IF(a.i = 0
      AND b.i < 20, UTC_TIMESTAMP(3), NULL),
      IF(a.i > 0, 1, NULL), IF(a.i > 0, 'PHASE1_STRANGER', NULL), IF(a.i > 0, '{"total_turns": 2}', NULL),
      IF(a.i > 0, '2026-01-02', NULL),
      IF(a.i = 0 AND b.i >= 20, 'SCORER_FAILED', NULL), '2026-01-02', '2026-01-02'
    FROM n a JOIN n b`);
  // One user's score fell once: that user's changes are read one by one.
  await database.query(
    "UPDATE conversation_events SET friendship_score_change = -1 WHERE conversation_id = 'conv_5_8'",
  );
  await database.query(`
    INSERT INTO friendship_status (user_id, friendship_score, friendship_level, streak_day, last_interaction_date,
    updated_at)
    SELECT user_id, SUM(friendship_score_change), 'PHASE2_ACQUAINTANCE', 1, MAX(end_time), '2026-01-02'
    FROM conversation_events WHERE status = 'PROCESSED' GROUP BY user_id`);
  await database.query(`
    INSERT INTO friendship_topic_metrics (user_id, topic_id, score, turns, level, last_date)
    SELECT user_id, 'pets', SUM(friendship_score_change), 2 * COUNT(*), 'PHASE2_ACQUAINTANCE', MAX(end_time)
    FROM conversation_events WHERE status = 'PROCESSED' GROUP BY user_id`);
  await database.query('ANALYZE TABLE conversation_events, friendship_status, friendship_topic_metrics');
  store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, connectTimeoutMs: 5_000 });
}, 300_000);
afterAll(async () => {
  await store.close();
  await space.dispose();
});

test.each<[string, Date | null]>([
  ['of everything', null],
  ['of new events', new Date(0x019a0000_0300)],
])(
  'an audit %s on a million rows reads index ranges, and finds the one wrong user',
  async (_name, since) => {
    await space.database.query(
      "UPDATE friendship_status SET friendship_score = friendship_score + 0.0001 WHERE user_id = 'user_7'",
    );
    const sources = {
      ...auditSources(loadConfig(space.env), store, { overdueMs: 300_000 }),
      deadLetters: () => Promise.resolve({ obstacle: 'not here' }),
    };
    const statements = await recordStatements(store, async () => {
      const report = await audit(sources, { since, letters: false });
      expect(report.checked).toMatchObject({ users, processed: events - users, pending: 20, failed: users - 20 });
      expect(report.violations).toEqual([
        { rule: 'friendship', user_id: 'user_7', detail: 'score 999.0001, the events come to 999' },
      ]);
      await sources.stillFailed(await sources.failedPage({ after: '' as never, size: 100 }));
    });
    await space.database.query(
      "UPDATE friendship_status SET friendship_score = friendship_score - 0.0001 WHERE user_id = 'user_7'",
    );

    // One of each shape: the values differ, the plans should not.
    const shapes = Map.groupBy(statements, (sql) =>
      sql.replace(/'[^']*'|\b\d+\b/g, '?').replace(/\((\?, )+\?\)/g, '(?)'),
    );
    expect(shapes.size).toBeGreaterThanOrEqual(10);
    for (const [sql = ''] of shapes.values()) {
      for (const step of await explain(space.database, sql)) {
        expect.soft({ sql: sql.slice(0, 300), type: step.type, key: step.key }).toEqual({
          sql: sql.slice(0, 300),
          type: expect.stringMatching(/^(range|ref|eq_ref|const)$/),
          key: expect.any(String),
        });
      }
    }
  },
  300_000,
);
