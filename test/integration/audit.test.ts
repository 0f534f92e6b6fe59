import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { conversation, postAll, rows } from '../support/client.ts';
import { onDuty } from '../support/duty.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** The audit, on a working fleet and on damaged copies of its data. */

let space: Namespace;
let api: Member;
let worker: Member;
let broker: BrokerHand;

beforeAll(async () => {
  const scorer = fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url));
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { SCORER_MODULE: scorer, SCORING_THREADS: '1', LOG_LEVEL: 'info' },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterAll(async () => {
  await broker.close();
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const { json, afterword, status, becomes, failOnce } = onDuty(() => ({ space, api, broker }));

test('a working fleet has no violations, after retries, failures and skips', async () => {
  const [id = ''] = await failOnce(2, { user_id: 'audited', agent_tag: 'pets' });
  const fine = Array.from({ length: 20 }, (_, i) =>
    conversation({ user_id: `audited_${i % 3}`, agent_tag: i % 2 ? 'pets' : null }),
  );
  await postAll(api.url, fine);
  for (const { conversation_id } of fine) await becomes(conversation_id, 'PROCESSED');
  const { code, body } = await json('audit', '--letters');
  expect(body).toMatchObject({
    ok: true,
    violations: [],
    notes: [],
    checked: { processed: 20, failed: 2, dead_letters: 2, users: 3 },
  });
  expect(code).toBe(0);
  const text = await afterword('audit', '--since', '1h');
  expect(text.output).toContain('no violations found');
  expect((await json('audit', '--since', '2099-01-01T00:00:00Z')).body.checked).toMatchObject({
    users: 0,
    processed: 0,
  });
  expect(await status(id)).toMatchObject({ status: 'FAILED' });
});

test.each<[string, string[], string, object]>([
  [
    'a score that lost an update',
    ["UPDATE friendship_status SET friendship_score = friendship_score - 2 WHERE user_id = 'audited_1'"],
    'friendship',
    { user_id: 'audited_1' },
  ],
  [
    'a topic counted twice',
    ["UPDATE friendship_topic_metrics SET score = score + 2 WHERE user_id = 'audited_2'"],
    'topic',
    { user_id: 'audited_2', topic_id: 'pets' },
  ],
  [
    'a friendship that is gone',
    ["DELETE FROM friendship_status WHERE user_id = 'audited_0'"],
    'friendship',
    { user_id: 'audited_0' },
  ],
  [
    'an overdue event that is not published',
    [
      "UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3) - INTERVAL 1 HOUR, status = 'PENDING' " +
        "WHERE conversation_id = 'conv_odd'",
    ],
    'overdue',
    { event_id: expect.any(String) },
  ],
  [
    'an open event that is never due',
    [
      'ALTER TABLE conversation_events DROP CONSTRAINT ck_conversation_events_open_is_due',
      "UPDATE conversation_events SET next_attempt_at = NULL, status = 'PENDING' WHERE conversation_id = 'conv_odd'",
    ],
    'open-is-due',
    { event_id: expect.any(String) },
  ],
  [
    'a closed event that is due',
    [
      'ALTER TABLE conversation_events DROP CONSTRAINT ck_conversation_events_open_is_due',
      "UPDATE conversation_events SET next_attempt_at = UTC_TIMESTAMP(3), status = 'SKIPPED' " +
        "WHERE conversation_id = 'conv_odd'",
    ],
    'closed-is-not-due',
    { event_id: expect.any(String) },
  ],
])('%s is found, with its ids', async (_name, damage, rule, ids) => {
  // On a copy of the database that no fleet repairs.
  const copy = await copyOf(space);
  try {
    for (const statement of damage) await copy.database.query(statement);
    const { code, output } = await runCommand(['audit', '--json'], copy.env);
    const body = JSON.parse(output);
    expect(body.violations).toContainEqual(expect.objectContaining({ rule, ...ids }));
    expect(new Set(body.violations.map((v: { rule: string }) => v.rule))).toEqual(new Set([rule]));
    expect(code).toBe(1);
    const text = await runCommand(['audit'], copy.env);
    expect(text.code).toBe(1);
    expect(text.output).toContain('FAIL');
  } finally {
    await copy.dispose();
  }
});

test('a FAILED event whose dead letter is gone is noted, or a violation on request', async () => {
  const [first] = await broker.takeAll(space.deadQueue);
  // A letter may take some seconds to arrive.
  await vi.waitFor(
    async () => {
      const { code, body } = await json('audit', '--letters');
      expect(body.violations).toContainEqual(
        expect.objectContaining({ rule: 'dead-letter', event_id: first?.properties.messageId }),
      );
      expect(code).toBe(1);
    },
    { timeout: 20_000 },
  );
  const { code, body } = await json('audit');
  expect(body).toMatchObject({
    ok: true,
    failed_without_letter: 2,
    notes: [expect.stringContaining('2 FAILED events')],
  });
  expect(code).toBe(0);
});

test('without a broker the database is still audited; without a database the audit says so', async () => {
  const without = { ...space.env, RABBITMQ_URL: 'amqp://127.0.0.1:1' };
  const alone = await runCommand(['audit', '--json'], without);
  expect(alone.code).toBe(3);
  expect(JSON.parse(alone.output)).toMatchObject({
    ok: true,
    undecided: true,
    failed_without_letter: null,
    checked: { dead_letters: null },
  });
  const told = await runCommand(['audit'], without);
  expect(told).toMatchObject({
    code: 3,
    output: expect.stringMatching(/\nundecided: not everything could be checked/),
  });
  // A check that was asked for and could not be made is not a success.
  const asked = await runCommand(['audit', '--letters'], without);
  expect(asked).toMatchObject({
    code: 1,
    output: expect.stringMatching(/FAIL {2}every failed event has its dead letter/),
  });
  const nothing = await runCommand(['audit'], { ...space.env, DATABASE_URL: 'mysql://u:secret@127.0.0.1:1/x' });
  expect(nothing).toMatchObject({
    code: 1,
    output: expect.stringContaining('cannot use the database mysql://u:***@127.0.0.1:1/x'),
  });
  expect(nothing.output).not.toContain('secret');
});

/** The same rows in a database that no fleet uses, with one more open event. */
async function copyOf(source: Namespace): Promise<Namespace> {
  const copy = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const [{ name } = { name: '' }] = await rows<{ name: string }>(source.database, 'SELECT DATABASE() AS name');
  const columns = await rows<{ name: string }>(
    source.database,
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'conversation_events' AND COLUMN_NAME <> 'duration_seconds'`,
  );
  const list = columns.map((c) => c.name).join(', ');
  await copy.database.query(
    `INSERT INTO conversation_events (${list}) SELECT ${list} FROM ${name}.conversation_events`,
  );
  for (const table of ['friendship_status', 'friendship_topic_metrics']) {
    await copy.database.query(`INSERT INTO ${table} SELECT * FROM ${name}.${table}`);
  }
  await copy.database.query(
    `INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time,
      end_time,
       request_digest, status, next_attempt_at, created_at, updated_at)
     VALUES (UUID(), 'conv_odd', 'odd', 't', 'b', 'n', '2026-01-01', '2026-01-02', '', 'PENDING',
     UTC_TIMESTAMP(3) + INTERVAL 1 HOUR,
       UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`,
  );
  return copy;
}
