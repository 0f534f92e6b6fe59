import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { secondChange } from '../fixtures/second-scorer.ts';
import { call, conversation, postAll, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Another scorer over old conversations: looked at first, applied to whole users, and taken back. */

const second = fileURLToPath(new URL('../fixtures/second-scorer.ts', import.meta.url));
const users = Array.from({ length: 12 }, (_, i) => `user_${String(i).padStart(2, '0')}`);
const tables = ['rescored_events', 'score_history', 'rescores', 'conversation_events', 'conversation_logs'];

let space: Namespace;
let api: Member;
let worker: Member;
beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { SCORING_THREADS: '1', RETRY_BASE_MS: '50', RETRY_CAP_MS: '100', RESPONSE_CACHE_SECONDS: '0' },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});
beforeEach(async () => {
  for (const table of [...tables, 'friendship_status', 'friendship_topic_metrics', 'friendship_ledger'])
    await space.database.query(`DELETE FROM ${table}`);
});

/** `n` conversations of all users, every third about a topic, of which the second scorer refuses `refused`. */
const bodies = (n: number, refused = 0) =>
  Array.from({ length: n }, (_, i) =>
    conversation({
      user_id: users[i % users.length],
      ...(i % 3 === 0 && { agent_tag: 'pets' }),
      metadata: i < refused ? { second: 'refuse' } : {},
      end_time: new Date(Date.UTC(2026, 0, 1) + i * 3_600_000 + 60_000).toISOString(),
      start_time: new Date(Date.UTC(2026, 0, 1) + i * 3_600_000).toISOString(),
    }),
  );
async function processed(n: number, refused = 0) {
  const sent = bodies(n, refused);
  await postAll(api.url, sent);
  await allProcessed();
  return sent;
}
const allProcessed = () =>
  vi.waitFor(async () => expect(Object.keys(await statuses(space.database))).toEqual(['PROCESSED']), {
    timeout: 30_000,
    interval: 50,
  });
const command = async (args: string[], env: Record<string, string> = {}) => {
  const { code, output } = await runCommand(args, { ...space.env, ...env });
  const json = output.split('\n').findLast((line) => line.startsWith('{') || line.startsWith('['));
  return { code, output, ...(json?.startsWith('{') && JSON.parse(json)) };
};
const rescore = (...args: string[]) => command(['rescore', ...args, '--json']);
const audit = async () => (await command(['audit'])).code;

type Row = { user_id: string; conversation_id: string; change_units: number; scorer: string; level: string };
const events = () =>
  rows<Row>(
    space.database,
    `SELECT user_id, conversation_id, CAST(friendship_score_change * 10000 AS SIGNED) AS change_units,
       JSON_VALUE(score_calculation_details, '$.scorer') AS scorer, new_friendship_level AS level
     FROM conversation_events ORDER BY user_id, processed_at, end_time`,
  );
/** All that a rescore may change. */
const state = async () => ({
  events: await events(),
  friendships: (
    await rows<Record<string, unknown>>(space.database, 'SELECT * FROM friendship_status ORDER BY user_id')
  ).map(({ updated_at, ...row }) => row),
  topics: await rows(space.database, 'SELECT * FROM friendship_topic_metrics ORDER BY user_id, topic_id'),
});

/** Scores as they must be by the rows of the events: added in their order, never below zero. */
async function expectExact(): Promise<void> {
  const sums = new Map<string, { score: number; level: string }>();
  for (const { user_id, conversation_id, change_units, level } of await events()) {
    const score = Math.max(0, (sums.get(user_id)?.score ?? 0) + Number(change_units));
    const wanted = score < 5_000_000 ? 'STRANGER' : score < 30_000_000 ? 'ACQUAINTANCE' : 'FRIEND';
    expect(level, conversation_id).toMatch(new RegExp(`${wanted}$`));
    sums.set(user_id, { score, level });
  }
  const held = await rows<{ user_id: string; score: number; level: string }>(
    space.database,
    `SELECT user_id, CAST(friendship_score * 10000 AS SIGNED) AS score, friendship_level AS level
     FROM friendship_status ORDER BY user_id`,
  );
  expect(
    Object.fromEntries(held.map(({ user_id, score, level }) => [user_id, { score: Number(score), level }])),
  ).toEqual(Object.fromEntries(sums));
}

test('a dry run changes nothing; applied, all is exact; undone, it is as before', async () => {
  const sent = await processed(120, 2);
  const [gone] = await rows<{ event_id: string }>(
    space.database,
    'SELECT event_id FROM conversation_events WHERE conversation_id = ?',
    [sent[5]?.conversation_id],
  );
  await space.database.query('DELETE FROM conversation_logs WHERE event_id = ?', [gone?.event_id]);
  const before = await state();

  const dry = await rescore('--scorer', second, '--dry-run');
  expect(dry).toMatchObject({
    ...{ code: 0, state: 'scored', looked_at: 120, without_text: 1, unchanged: 0, users: 12 },
    failures: [{ code: 'SCORER_FAILED', events: 2 }],
  });
  const differences = before.events
    .filter((row) => !sent.slice(0, 2).some((body) => body.conversation_id === row.conversation_id))
    .filter((row) => row.conversation_id !== sent[5]?.conversation_id)
    .map((row) => secondChange(row.conversation_id) - Number(row.change_units) / 10_000)
    .sort((a, b) => a - b);
  expect(dry.distribution).toMatchObject({
    events: 117,
    lower: differences.filter((d) => d < 0).length,
    higher: differences.filter((d) => d > 0).length,
    percentiles: { 0: differences[0], 50: differences[58], 100: differences[116] },
  });
  expect(dry.distribution.mean).toBeCloseTo(differences.reduce((a, b) => a + b) / 117, 3);
  expect(await state()).toEqual(before);

  expect(await rescore('--run', String(dry.id), '--apply')).toMatchObject({ code: 0, id: dry.id, state: 'applied' });
  const after = await state();
  expect(after.events.filter((row) => row.scorer === 'second@1')).toHaveLength(117);
  for (const row of after.events)
    if (row.scorer === 'second@1') expect(Number(row.change_units)).toBe(secondChange(row.conversation_id) * 10_000);
  await expectExact();
  expect(await audit()).toBe(0);
  expect(await rows(space.database, 'SELECT 1 FROM score_history')).toHaveLength(117);
  const shown = await call(api.url, 'GET', `/v1/conversations/${sent[10]?.conversation_id}`);
  expect(shown.body.result).toMatchObject({ friendship_score_change: secondChange(sent[10]?.conversation_id ?? '') });
  expect((await command(['actions'])).output).toContain('rescore');
  // Once more, and there is nothing to do.
  expect(await rescore('--run', String(dry.id), '--apply')).toMatchObject({ code: 0, state: 'applied' });
  expect(await state()).toEqual(after);
  expect(await rescore('--scorer', second)).toMatchObject({ unchanged: 117, users: 0 });

  expect(await rescore('undo', String(dry.id))).toMatchObject({ code: 0, state: 'applied', undoes: dry.id });
  expect(await state()).toEqual(before);
  expect(await audit()).toBe(0);
  expect((await command(['rescore', '--run', String(dry.id)])).output).toContain('took these results back');
});

test('the newest of a time, at most so many; a person reads what it came to', async () => {
  const sent = await processed(60);
  const limited = await rescore('--scorer', second, '--limit', '10');
  expect(limited).toMatchObject({ looked_at: 10, state: 'scored' });
  expect(await rescore('--scorer', second, '--since', '0s')).toMatchObject({
    looked_at: 0,
    users: 0,
    distribution: null,
  });
  const { code, output } = await runCommand(['rescore', '--scorer', second, '--since', '1h', '--apply'], space.env);
  expect(code, output).toBe(0);
  expect(output).toContain(`${sent.length} conversations`);
  expect(output).toMatch(/POINTS +CONVERSATIONS/);
  expect(output).toMatch(/to take the results back: `afterword rescore undo \d+`/);
  const list = await runCommand(['rescore', 'list'], space.env);
  expect(list.output.match(/ (scored|applied) /g)).toEqual([' applied ', ' scored ', ' scored ']);
  await expectExact();
});

test('what got another result since is not taken back, nor is a run that was not applied', async () => {
  await processed(60);
  const some = await rescore('--scorer', second, '--limit', '10', '--apply');
  const dry = await rescore('--scorer', 'friendship', '--limit', '4');
  expect(await command(['rescore', 'undo', String(dry.id)])).toMatchObject({
    code: 2,
    output: expect.stringContaining('was not applied'),
  });
  expect((await rescore('--run', String(dry.id), '--apply')).code).toBe(0);
  const undone = await rescore('undo', String(some.id));
  expect(undone).toMatchObject({ code: 0, looked_at: 6 });
  expect(undone.output).toContain('rescored again since: 4 conversations');
  expect((await events()).every((row) => row.scorer.startsWith('friendship@'))).toBe(true);
  await expectExact();
});

test('while conversations are accepted, scored, removed and erased, nobody ever sees a wrong sum', async () => {
  await processed(360);
  const run = await rescore('--scorer', second);
  const more = bodies(240);
  const [applied, , audits] = await Promise.all([
    rescore('--run', String(run.id), '--apply'),
    postAll(api.url, more, 10),
    (async () => {
      const codes = [];
      for (let i = 0; i < 4; i++) codes.push(await audit());
      return codes;
    })(),
    command(['erase', users[3] ?? '', '--yes']),
    command(['rebuild', '--apply']),
  ]);
  expect(applied).toMatchObject({ code: 0, state: 'applied' });
  expect(audits).toEqual([0, 0, 0, 0]);
  await allProcessed();
  await expectExact();
  expect(await audit()).toBe(0);
  const left = await rows<{ n: number }>(
    space.database,
    'SELECT COUNT(*) AS n FROM conversation_events WHERE user_id <> ?',
    [users[3]],
  );
  expect(Number(left[0]?.n)).toBe(550);
  expect((await command(['erase', users[3] ?? '', '--yes'])).code).toBe(0);
  for (const table of ['rescored_events', 'score_history'])
    expect(await rows(space.database, `SELECT 1 FROM ${table} WHERE user_id = ?`, [users[3]])).toEqual([]);
});

test('rebuilt and rescored while its events go to the ledger, a friendship stays what it is', async () => {
  await processed(240);
  await space.database.query(
    `UPDATE conversation_events SET created_at = '2026-01-01', processed_at = processed_at - INTERVAL 90 DAY,
       updated_at = updated_at - INTERVAL 90 DAY, start_time = '2026-01-01', end_time = '2026-01-02'`,
  );
  for (const table of ['conversation_events', 'conversation_logs'])
    await space.database.query(`UPDATE ${table} SET event_id = CONCAT('01900000-0000', SUBSTRING(event_id, 14))`);
  const before = (await state()).friendships.map((row) => row['friendship_score']);
  const retention = { EVENT_RETENTION_DAYS: '30' };
  const [removed, ...rebuilt] = await Promise.all([
    command(['jobs', 'run', 'event-retention', '--json'], retention),
    ...[1, 2, 3].map(() => command(['rebuild', '--apply', '--json'])),
    rescore('--scorer', 'friendship', '--apply'),
  ]);
  expect(removed).toMatchObject({ code: 0, state: 'done' });
  for (const one of rebuilt) expect(one.code, one.output).toBe(0);
  expect((await state()).friendships.map((row) => row['friendship_score'])).toEqual(before);
  expect(await audit()).toBe(0);
});

test('killed in mid-scoring and in mid-apply, it goes on where it was, to the same end', async () => {
  await processed(240, 1);
  const slow = { ...space.env, SECOND_WAIT_MS: '30', MESSAGE_CONCURRENCY_PER_WORKER: '1' };
  const first = await startMember('rescore', slow, { args: ['--scorer', second], waitsForReady: false });
  const looked = async () =>
    Number((await rows<{ n: number }>(space.database, 'SELECT MAX(looked_at) AS n FROM rescores'))[0]?.n ?? 0);
  await vi.waitFor(async () => expect(await looked()).toBeGreaterThan(0), { timeout: 30_000, interval: 20 });
  // Another one would score the same events.
  expect(await command(['rescore', '--scorer', second])).toMatchObject({
    code: 2,
    output: expect.stringContaining('another rescore is at work'),
  });
  first.signal('SIGKILL');
  await first.ended;
  expect(await looked()).toBe(200);
  const [{ id } = { id: 0 }] = await rows<{ id: number }>(space.database, 'SELECT MAX(rescore_id) AS id FROM rescores');
  await vi.waitFor(async () => expect((await rescore('--run', String(id))).looked_at).toBe(240), { timeout: 30_000 });

  // Held at the last user, with the others applied.
  const holder = await space.database.getConnection();
  await holder.query('START TRANSACTION');
  await holder.query('SELECT 1 FROM friendship_status WHERE user_id = ? FOR UPDATE', [users.at(-1)]);
  const applying = await startMember('rescore', space.env, {
    args: ['--run', String(id), '--apply'],
    waitsForReady: false,
  });
  const openUsers = () =>
    rows(
      space.database,
      'SELECT DISTINCT user_id FROM rescored_events WHERE applied_at IS NULL AND error_code IS NULL',
    );
  await vi.waitFor(async () => expect(await openUsers()).toHaveLength(1), { timeout: 30_000, interval: 20 });
  applying.signal('SIGKILL');
  await applying.ended;
  await holder.query('ROLLBACK');
  holder.release();
  await expectExact();
  expect(await audit()).toBe(0);
  expect(await rows(space.database, 'SELECT state FROM rescores WHERE rescore_id = ?', [id])).toEqual([
    { state: 'applying' },
  ]);
  await vi.waitFor(async () => expect((await rescore('--run', String(id), '--apply')).state).toBe('applied'), {
    timeout: 30_000,
  });
  expect((await events()).filter((row) => row.scorer === 'second@1')).toHaveLength(239);
  await expectExact();
  expect(await audit()).toBe(0);
});

test('told to stop, it ends in order and says how to go on', async () => {
  await processed(240);
  const slow = { ...space.env, SECOND_WAIT_MS: '30', MESSAGE_CONCURRENCY_PER_WORKER: '1' };
  const member = await startMember('rescore', slow, { args: ['--scorer', second, '--apply'], waitsForReady: false });
  await vi.waitFor(
    async () => expect(await rows(space.database, 'SELECT 1 FROM rescores WHERE looked_at > 0')).toHaveLength(1),
    { timeout: 30_000, interval: 20 },
  );
  expect(await member.stop()).toBe(1);
  expect(member.lines.at(-1)).toMatch(/^stopped; to continue: `afterword rescore --run \d+ --apply`$/);
  expect(await rows(space.database, 'SELECT 1 FROM score_history')).toEqual([]);
});

test.each([
  [[], 2, 'name a scorer'],
  [['--scorer', second, '--run', '1'], 2, 'name a scorer'],
  [['--scorer', second, '--apply', '--dry-run'], 2, 'exclude each other'],
  [['--run', '4711'], 2, 'there is no run 4711'],
  [['--run', '1', '--limit', '5'], 2, 'run 1 has its own'],
  [['undo', '4711'], 2, 'there is no run 4711'],
  [['--scorer', './nowhere.ts'], 78, 'nowhere.ts cannot be used'],
])('rescore %j is refused', async (args, code, said) => {
  const given = await runCommand(['rescore', ...args], space.env);
  expect(given.code, given.output).toBe(code);
  expect(given.output).toContain(said);
  for (const table of ['rescores', 'rescored_events'])
    expect(await rows(space.database, `SELECT 1 FROM ${table}`)).toEqual([]);
});
