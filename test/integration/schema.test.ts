import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import type { EventId } from '../../src/event/event.ts';
import {
  claimDue,
  countStart,
  exportEvents,
  findClosed,
  findEvent,
  findFriendship,
  findTexts,
  insertEvents,
  listEvents,
  loadEvents,
  makeDue,
  makeLostDue,
  markConfirmed,
  markProcessing,
  openStore,
  readClosed,
  readNewestClosed,
  republishOpen,
  retryEvent,
  retryFailed,
  type Store,
  settleTransaction,
  skipEvent,
} from '../../src/store/index.ts';
import { rows } from '../support/client.ts';
import { explain, recordStatements } from '../support/explain.ts';
import { runCommand } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { newEvent } from '../support/new-event.ts';

let space: Namespace;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
});
afterAll(() => space.dispose());

test('a database with the text in the event row is refused, not taken for one that lost its texts', async () => {
  const old = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  await old.database.query('ALTER TABLE conversation_events ADD conversation_log MEDIUMTEXT NULL');
  for (const command of ['migrate', 'api', 'worker']) {
    expect(await runCommand([command], old.env)).toMatchObject({
      code: 78,
      output: expect.stringContaining('a new, empty database'),
    });
  }
  await old.dispose();
});

test('a read-only database user is refused at start and by the doctor, with the missing privilege', async () => {
  const url = new URL(space.env['DATABASE_URL'] ?? '');
  const [database, reader] = [url.pathname.slice(1), `r${randomBytes(5).toString('hex')}`];
  const admin = await mysql.createConnection(inject('databaseUrl'));
  await admin.query(`CREATE USER '${reader}'@'%' IDENTIFIED BY '${reader}'`);
  await admin.query(`GRANT SELECT ON ${database}.* TO '${reader}'@'%'`);
  url.username = url.password = reader;
  const env = { ...space.env, DATABASE_URL: url.href };
  for (const role of ['api', 'worker']) {
    expect(await runCommand([role], env)).toMatchObject({
      code: 78,
      output: expect.stringMatching(/INSERT command denied .*GRANT SELECT, INSERT, UPDATE/),
    });
  }
  expect(await runCommand(['doctor'], env)).toMatchObject({
    code: 1,
    output: expect.stringMatching(/writable +INSERT command denied/),
  });
  await admin.query(`DROP USER '${reader}'@'%'`);
  await admin.end();
});

test('concurrent migrations leave one correct schema; a process without it says what to run', async () => {
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
    'api_keys',
    'chat_messages',
    'chat_sessions',
    'closed_events',
    'conversation_events',
    'conversation_logs',
    'erased_ids',
    'fleet_controls',
    'fleet_members',
    'fleet_profiles',
    'friendship_ledger',
    'friendship_status',
    'friendship_topic_metrics',
    'maintenance_runs',
    'operator_actions',
    'replica_beats',
    'rescored_events',
    'rescores',
    'score_history',
    'webhook_deliveries',
    'webhook_endpoints',
  ]);
  await admin.query(`DROP DATABASE ${name}`);
  await admin.end();
});

test('a new column waits for no reader for long, and nothing waits behind it', async () => {
  const own = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  await own.database.query('ALTER TABLE conversation_events DROP COLUMN traceparent');
  await own.database.query("DELETE FROM afterword_migrations WHERE name LIKE 'EventTraces%'");
  const reader = await own.database.getConnection();
  await reader.query('START TRANSACTION');
  await reader.query('SELECT COUNT(*) FROM conversation_events');
  let isMigrated = false;
  const migrating = runCommand(['migrate'], own.env).then((result) => {
    isMigrated = true;
    return result;
  });
  // It has begun to wait.
  await vi.waitFor(
    async () => {
      const waiting = await rows<{ n: number }>(
        own.database,
        `SELECT COUNT(*) AS n FROM information_schema.processlist
         WHERE info LIKE '%ADD COLUMN traceparent%' AND id <> CONNECTION_ID()`,
      );
      expect(Number(waiting[0]?.n)).toBe(1);
    },
    { timeout: 15_000, interval: 20 },
  );
  // Without a limit of its own, this would wait as long as the reader reads.
  await own.database.query("UPDATE conversation_events SET user_id = 'x' WHERE event_id = 'none'");
  expect(isMigrated).toBe(false);
  await reader.query('COMMIT');
  reader.release();
  expect((await migrating).code).toBe(0);
  await own.dispose();
});

test('the entity schemas match the migrated columns exactly, including nullability and length', async () => {
  const store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, connectTimeoutMs: 5_000 });
  const found = await rows<{ t: string; c: string; nullable: string; len: number | null }>(
    space.database,
    `SELECT table_name AS t, column_name AS c, is_nullable AS nullable, character_maximum_length AS len
      FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name <> 'afterword_migrations'`,
  );
  const actual = found.map((row) => `${row.t}.${row.c} ${row.nullable === 'YES'}`).sort();
  const { entityMetadatas } = await store.orm();
  const declared = entityMetadatas
    .flatMap((entity) => entity.columns.map((c) => `${entity.tableName}.${c.databaseName} ${c.isNullable}`))
    .sort();
  expect(declared).toEqual(actual);
  for (const entity of entityMetadatas) {
    for (const column of entity.columns.filter((c) => c.length !== '')) {
      expect(found.find((row) => row.t === entity.tableName && row.c === column.databaseName)?.len).toBe(
        Number(column.length),
      );
    }
  }
  await store.close();
});

describe('named CHECK constraints guard states', () => {
  const insert = (status: string, next: string, end = '2026-01-02') =>
    space.database.query(
      `INSERT INTO conversation_events SET event_id = UUID(), conversation_id = UUID(), user_id = 'u',
        bot_type = 't', bot_id = 'b', bot_name = 'n',
       start_time = '2026-01-01', end_time = ?, request_digest = '', status = ?, next_attempt_at = ${next},
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
    await expect(insert(status, next, end)).rejects.toMatchObject({
      errno: expect.toSatisfy((n) => n === 3819 || n === 4025),
    });
  });

  test('a valid row is not', async () => {
    await insert('PENDING', 'NOW()');
  });
});

describe('every hot or operator query reads an index range', () => {
  beforeAll(async () => {
    // Enough rows that the planner would choose a scan only if it had to.
    await space.database.query(`
      INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time,
      end_time,
        request_digest, status, next_attempt_at, friendship_score_change, new_friendship_level, processed_at,
        created_at, updated_at)
      WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)
      SELECT UUID(), CONCAT('conv_', a.i, '_', b.i), CONCAT('user_', a.i), 't', 'b', 'n', '2026-01-01',
      '2026-01-02', '',
        IF(b.i = 1, 'PENDING', 'PROCESSED'), IF(b.i = 1, NOW(), NULL), 1, 'PHASE1_STRANGER', NOW(), NOW(), NOW()
      FROM n a JOIN (SELECT i FROM n WHERE i <= 20) b`);
    await space.database.query(
      `INSERT INTO conversation_logs (event_id, conversation_log) SELECT event_id, '[]' FROM conversation_events`,
    );
    await space.database.query('ANALYZE TABLE conversation_events, conversation_logs');
    await space.database.query(
      `INSERT INTO friendship_status (user_id, updated_at) SELECT DISTINCT user_id, NOW() FROM conversation_events`,
    );
    const store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, connectTimeoutMs: 5_000 });
    await insertEvents(store, [newEvent(1), newEvent(2)], { graceMs: 1, deadlineMs });
    await store.close();
  });

  const deadlineMs = 10_000;
  const by = { actor: 'a test', deadlineMs };
  const [level, levelBefore] = ['PHASE2_ACQUAINTANCE', 'PHASE1_STRANGER'] as const;
  const id = '019a0000-0000-7000-8000-000000000001' as EventId;
  const listed = (filter: Parameters<typeof listEvents>[1]) => (store: Store) =>
    listEvents(store, filter, { limit: 51, deadlineMs });
  test.each<[string, (store: Store) => Promise<unknown>]>([
    ['accept a replay', (store) => insertEvents(store, [newEvent(1), newEvent(3)], { graceMs: 1, deadlineMs })],
    ['claim', (store) => claimDue(store, { limit: 200, graceMs: 1, republishAfterMs: 1, deadlineMs })],
    [
      'confirm marks',
      (store) =>
        markConfirmed(
          store,
          [
            { eventId: newEvent(1).eventId, dueAt: null, attemptCount: 0 },
            { eventId: id, dueAt: new Date(), attemptCount: 1 },
          ],
          { graceMs: 1, republishAfterMs: 1, deadlineMs },
        ),
    ],
    ['make lost due', (store) => makeLostDue(store, { lostAfterMs: 1, furthestRetryMs: 1, limit: 10, deadlineMs })],
    ['load', (store) => loadEvents(store, [newEvent(1), newEvent(2), { conversationId: 'conv_1_1' }], deadlineMs)],
    ['mark PROCESSING', (store) => markProcessing(store, [{ eventId: id, runningMs: 1 }], { worker: 'w', deadlineMs })],
    ['count a start', (store) => countStart(store, id, deadlineMs)],
    [
      'settle',
      (store) =>
        settleTransaction(store, { deadlineMs, locks: 'wait', hasListeners: true, hasStream: true }, async (tx) => {
          const users = [['user_1', 'user_2'], [{ userId: 'user_1', topicId: 't' }]] as const;
          const { events, friendships } = await tx.lock([newEvent(1).eventId, newEvent(2).eventId], {
            userIds: users[0],
            topics: users[1],
          });
          const held = await tx.lockUsers(...users);
          const [[row], [friendship]] = [events, friendships];
          if (!row || !friendship) throw new Error('nothing to settle');
          tx.write({
            friendships: [friendship],
            topics: [
              ...held.topics,
              { userId: 'user_1', topicId: 't', score: 1, turns: 1, level: 'PHASE1_STRANGER', lastDate: new Date() },
            ],
            events: [
              { kind: 'processed', eventId: row.eventId, change: 1, level, levelBefore, detailsJson: '{}' },
              { kind: 'retry', eventId: newEvent(2).eventId, attemptCount: 1, delayMs: 1, code: 'C', details: 'd' },
            ],
          });
        }),
    ],
    ['status', (store) => findEvent(store, { conversationId: 'conv_1_1' }, deadlineMs)],
    ['watch', (store) => findClosed(store, ['conv_1_1', 'conv_2_1', 'conv_3_1'], deadlineMs)],
    ['list', listed({})],
    ['list, next page', listed({ before: id })],
    ['list by status', listed({ status: 'FAILED', before: id })],
    ['list by user', listed({ userId: 'user_5' })],
    ['list by user and status', listed({ userId: 'user_5', status: 'FAILED', before: id })],
    ...([{}, { status: 'FAILED' }, { userId: 'user_5' }, { userId: 'user_5', status: 'FAILED' }] as const).map(
      (filter): [string, (store: Store) => Promise<unknown>] => [
        `export ${JSON.stringify(filter)}`,
        (store) => exportEvents(store, { after: '', until: id, ...filter }, { limit: 500, deadlineMs }),
      ],
    ),
    ['feed', (store) => readClosed(store, 5, 200, deadlineMs)],
    ['feed, newest', (store) => readNewestClosed(store, 200, deadlineMs)],
    ['texts', (store) => findTexts(store, [id], deadlineMs)],
    ['friendship', (store) => findFriendship(store, 'user_1', null, deadlineMs)],
    ['retry one', (store) => retryEvent(store, 'conv_1_1', by)],
    ['skip one', (store) => skipEvent(store, 'conv_2_1', 'reason', { ...by, hasStream: true })],
    [
      'retry many',
      (store) => retryFailed(store, { errorCode: 'X', before: new Date(), after: id }, { limit: 100, ...by }),
    ],
    ['make one due', (store) => makeDue(store, id, deadlineMs)],
    [
      'republish',
      (store) =>
        republishOpen(store, {
          status: 'PENDING',
          after: null,
          before: new Date(),
          graceMs: 1,
          limit: 100,
          deadlineMs,
        }),
    ],
  ])('%s', async (_name, act) => {
    const store = await openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, connectTimeoutMs: 5_000 });
    const statements = await recordStatements(store, act);
    await store.close();
    expect(statements.length).toBeGreaterThan(0);
    for (const sql of statements) {
      for (const step of await explain(space.database, sql)) {
        expect.soft({ sql, scan: step.type === 'ALL', filesort: /filesort/.test(step.Extra ?? '') }).toEqual({
          sql,
          scan: false,
          // A user's topics are sorted by points; they are few.
          filesort: sql.includes('friendship_topic_metrics') && sql.includes('ORDER BY'),
        });
        // The unfiltered list reads the primary key from its end and stops: an index scan with a LIMIT.
        if (step.type === 'index') expect.soft(sql).toMatch(/ORDER BY .*event_id.* DESC LIMIT 51$/);
      }
    }
  });
});
