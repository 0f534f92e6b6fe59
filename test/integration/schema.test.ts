import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openStore } from '../../src/store/index.ts';
import { rows } from '../support/client.ts';
import { runCommand } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
});
afterAll(() => space.dispose());

test('several processes that migrate at once leave one good schema; a process that needs it says what to run', async () => {
  const name = `m${randomBytes(5).toString('hex')}`;
  const url = new URL(inject('databaseUrl'));
  const admin = await mysql.createConnection(url.href);
  await admin.query(`CREATE DATABASE ${name}`);
  url.pathname = `/${name}`;
  const env = { ...space.env, DATABASE_URL: url.href };
  const early = await runCommand(['api'], env);
  expect(early).toMatchObject({ code: 78, output: expect.stringContaining('run `afterword migrate` first') });
  const results = await Promise.all(Array.from({ length: 4 }, () => runCommand(['migrate'], env)));
  expect(results.map((r) => r.code)).toEqual([0, 0, 0, 0]);
  expect(results.filter((r) => r.output.includes('schema brought up to date'))).toHaveLength(1);
  const [tables] = await admin.query<mysql.RowDataPacket[]>(
    'SELECT table_name AS t FROM information_schema.tables WHERE table_schema = ?',
    [name],
  );
  expect(tables.map((row) => row['t']).sort()).toEqual([
    'afterword_migrations',
    'conversation_events',
    'friendship_status',
    'friendship_topic_metrics',
  ]);
  await admin.query(`DROP DATABASE ${name}`);
  await admin.end();
});

test('the entity schemas name exactly the columns that the migrations made, with the same nullability and length', async () => {
  const store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, connectTimeoutMs: 5_000 });
  const found = await rows<{ t: string; c: string; nullable: string; len: number | null }>(
    space.database,
    `SELECT table_name AS t, column_name AS c, is_nullable AS nullable, character_maximum_length AS len FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name <> 'afterword_migrations'`,
  );
  const actual = found.map((row) => `${row.t}.${row.c} ${row.nullable === 'YES'}`).sort();
  const declared = store.dataSource.entityMetadatas
    .flatMap((entity) => entity.columns.map((c) => `${entity.tableName}.${c.databaseName} ${c.isNullable}`))
    .sort();
  expect(declared).toEqual(actual);
  for (const entity of store.dataSource.entityMetadatas) {
    for (const column of entity.columns.filter((c) => c.length !== '')) {
      expect(found.find((row) => row.t === entity.tableName && row.c === column.databaseName)?.len).toBe(Number(column.length));
    }
  }
  await store.close();
});

describe('named CHECK constraints guard states', () => {
  const insert = (status: string, next: string, end = '2026-01-02') =>
    space.database.query(
      `INSERT INTO conversation_events SET event_id = UUID(), conversation_id = UUID(), user_id = 'u', bot_type = 't', bot_id = 'b', bot_name = 'n',
       start_time = '2026-01-01', end_time = ?, conversation_log = '[]', request_digest = '', status = ?, next_attempt_at = ${next},
       created_at = NOW(), updated_at = NOW()`,
      [end, status],
    );

  test.each([
    ['an unknown status', 'LOST', 'NOW()', '2026-01-02'],
    ['an open event that is never due', 'PENDING', 'NULL', '2026-01-02'],
    ['a closed event that is due', 'SKIPPED', 'NOW()', '2026-01-02'],
    ['processed without a score', 'PROCESSED', 'NULL', '2026-01-02'],
    ['failed without a reason', 'FAILED', 'NULL', '2026-01-02'],
    ['end before start', 'PENDING', 'NOW()', '2025-01-01'],
  ])('%s is refused', async (_name, status, next, end) => {
    await expect(insert(status, next, end)).rejects.toMatchObject({ errno: expect.toSatisfy((n) => n === 3819 || n === 4025) });
  });

  test('a good row is not', async () => {
    await insert('PENDING', 'NOW()');
  });
});

describe('every hot or operator query reads an index range', () => {
  beforeAll(async () => {
    // Enough rows that a planner would choose a scan only if it had to.
    await space.database.query(`
      INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time, end_time, conversation_log,
        request_digest, status, next_attempt_at, friendship_score_change, new_friendship_level, processed_at, created_at, updated_at)
      WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)
      SELECT UUID(), CONCAT('conv_', a.i, '_', b.i), CONCAT('user_', a.i), 't', 'b', 'n', '2026-01-01', '2026-01-02', '[]', '',
        IF(b.i = 1, 'PENDING', 'PROCESSED'), IF(b.i = 1, NOW(), NULL), 1, 'PHASE1_STRANGER', NOW(), NOW(), NOW()
      FROM n a JOIN (SELECT i FROM n WHERE i <= 20) b`);
    await space.database.query('ANALYZE TABLE conversation_events');
  });

  const ids = "('0', '1', '2')";
  const oneOfMany = `JOIN (SELECT CONVERT('0' USING ascii) COLLATE ascii_bin AS event_id UNION ALL SELECT CONVERT('1' USING ascii) COLLATE ascii_bin) v ON e.event_id = v.event_id`;
  test.each([
    [
      'claim',
      'SELECT * FROM conversation_events FORCE INDEX (ix_conversation_events_due) WHERE next_attempt_at <= UTC_TIMESTAMP(3) ORDER BY next_attempt_at LIMIT 200 FOR UPDATE SKIP LOCKED',
      'ix_conversation_events_due',
    ],
    [
      'settle: lock',
      `SELECT * FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id IN ${ids} ORDER BY event_id FOR UPDATE`,
      'PRIMARY',
    ],
    ['settle: write', `SELECT e.status FROM conversation_events e ${oneOfMany}`, 'PRIMARY'],
    ['replay', `SELECT event_id FROM conversation_events WHERE conversation_id IN ${ids}`, 'uq_conversation_events_conversation_id'],
    ['list', 'SELECT * FROM conversation_events ORDER BY event_id DESC LIMIT 51', 'PRIMARY'],
    [
      'list by status',
      "SELECT * FROM conversation_events WHERE status = 'FAILED' AND event_id < '9' ORDER BY event_id DESC LIMIT 51",
      'ix_conversation_events_status',
    ],
    [
      'list by user',
      "SELECT * FROM conversation_events WHERE user_id = 'user_5' AND event_id < '9' ORDER BY event_id DESC LIMIT 51",
      'ix_conversation_events_user',
    ],
    [
      'retry many',
      "SELECT event_id FROM conversation_events FORCE INDEX (ix_conversation_events_status) WHERE status = 'FAILED' AND error_code = 'X' ORDER BY event_id LIMIT 100",
      'ix_conversation_events_status',
    ],
  ])('%s', async (_name, sql, index) => {
    const plan = await rows<{ table: string; type: string; key: string | null; Extra: string | null }>(
      space.database,
      `EXPLAIN ${await traditional()} ${sql}`,
    );
    const step = plan.find((row) => row.table === 'conversation_events' || row.table === 'e');
    expect(step?.key).toBe(index);
    expect(step?.type).not.toBe('ALL');
    expect(step?.Extra ?? '').not.toContain('filesort');
  });

  /** MySQL 9 answers a plain EXPLAIN in another format, MariaDB does not know the word for this one. */
  async function traditional(): Promise<string> {
    const [row] = await rows<{ v: string }>(space.database, 'SELECT VERSION() AS v');
    return /mariadb/i.test(row?.v ?? '') ? '' : 'FORMAT=TRADITIONAL';
  }
});
