import mysql from 'mysql2/promise';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type Replicated, startReplicated } from '../support/replicated.ts';

/**
 * Reports from a real replica, held back where a test needs it: nobody reads what they have overtaken, and a replica
 * that is away or far behind is as if there was none.
 */

let servers: Replicated;
let space: Namespace;
let worker: Member;
/** Reads from the replica however far it is behind, and only if it is up to date. */
let patient: Member;
let strict: Member;
let readUrl: string;
let below: mysql.Pool;

beforeAll(async () => {
  servers = await startReplicated();
  space = await createNamespace(
    { database: servers.primary.url, rabbitmq: inject('rabbitmqUrl') },
    { RESPONSE_CACHE_SECONDS: '0', MAX_ATTEMPTS: '1' },
  );
  const url = new URL(servers.replica.url);
  url.pathname = new URL(space.env['DATABASE_URL'] ?? '').pathname;
  readUrl = url.href;
  below = mysql.createPool({ uri: readUrl, timezone: 'Z', decimalNumbers: true });
  const env = { ...space.env, DATABASE_READ_URL: readUrl };
  patient = await startMember('api', { ...env, DATABASE_READ_LAG_SECONDS: '300' });
  strict = await startMember('api', { ...env, DATABASE_READ_LAG_SECONDS: '1' });
  worker = await startMember('worker', space.env);
  await used(patient);
  await used(strict);
});
afterAll(async () => {
  for (const member of [patient, strict, worker]) expect(await member.stop()).toBe(0);
  await below.end();
  await space.dispose();
  await servers.dispose();
});

const eventually = <T>(check: () => Promise<T>) => vi.waitFor(check, { timeout: 30_000, interval: 50 });
const get = (api: Member, path: string, headers?: Record<string, string>) =>
  call(api.url, 'GET', path, undefined, headers);
const status = (api: Member, id: string, headers?: Record<string, string>) =>
  get(api, `/v1/conversations/${id}`, headers);
const listed = async (api: Member) =>
  (await get(api, '/v1/conversations?limit=100')).body.conversations.map(
    (one: { conversation_id: string }) => one.conversation_id,
  );
const metric = async (api: Member, name: string) =>
  Number(new RegExp(`^${name} (.+)$`, 'm').exec((await callMetrics(api)).body)?.[1]);
const callMetrics = (api: Member) => call(api.url, 'GET', '/metrics');
const used = (api: Member, wanted = 1) =>
  eventually(async () => expect(await metric(api, 'afterword_replica_used')).toBe(wanted));
const send = async (more: Record<string, unknown> = {}) => {
  const body = conversation(more);
  expect((await post(patient.url, body)).status).toBe(202);
  return body.conversation_id;
};
const processed = (id: string) =>
  eventually(async () => {
    const found = await status(patient, id);
    expect(found.body.status).toBe('PROCESSED');
    return found;
  });
/** What has been written by now is on the replica, too. */
const copied = async (id: string) =>
  eventually(async () =>
    expect(
      await rows(below, "SELECT 1 FROM conversation_events WHERE conversation_id = ? AND status = 'PROCESSED'", [id]),
    ).toHaveLength(1),
  );

test('what was just written is read, and the rest comes from the replica', async () => {
  const old = await send({ user_id: 'old' });
  const first = await processed(old);
  // Nobody has asked for this one.
  await copied(await send({ user_id: 'quiet' }));
  await copied(old);
  await servers.hold();

  const id = await send({ user_id: 'new' });
  expect((await status(patient, id)).status).toBe(200);
  await processed(id);
  // Whoever has seen it finds it in the score; whoever has not reads an older one.
  const friendship = await get(patient, '/v1/users/new/friendship');
  expect(friendship.body.friendship_score).toBeGreaterThan(0);
  expect(await listed(patient)).not.toContain(id);
  expect(await listed(strict)).toEqual(expect.arrayContaining([old]));

  // Changed behind everybody's back, as a rescore does: only those who hold the newer answer are given it.
  await space.database.query(
    `UPDATE conversation_events SET friendship_score_change = 77, updated_at = UTC_TIMESTAMP(3)
     WHERE conversation_id = ?`,
    [old],
  );
  await used(strict, 0);
  const newer = await status(strict, old);
  expect(newer.body.result.friendship_score_change).toBe(77);
  expect((await status(patient, old)).headers['etag']).toBe(first.headers['etag']);
  expect((await status(patient, old, { 'if-none-match': String(newer.headers['etag']) })).status).toBe(304);
  const held = await status(patient, old, { 'if-none-match': '"something else"' });
  expect(held.body.result.friendship_score_change).toBe(77);

  // The same for friendships.
  await space.database.query(
    "UPDATE friendship_status SET friendship_score = 78, updated_at = UTC_TIMESTAMP(3) WHERE user_id = 'quiet'",
  );
  expect((await get(patient, '/v1/users/quiet/friendship')).body.friendship_score).not.toBe(78);
  const other = await get(patient, '/v1/users/quiet/friendship', { 'if-none-match': '"something else"' });
  expect(other.body.friendship_score).toBe(78);
  await servers.release();
  await used(strict);
});

test('a replica that is too far behind is not asked, until it has caught up', async () => {
  await servers.hold();
  const id = await send();
  await processed(id);
  await used(strict, 0);
  expect(await listed(strict)).toContain(id);
  expect(await listed(patient)).not.toContain(id);
  expect(await metric(strict, 'afterword_replica_lag_seconds')).toBeGreaterThan(1);
  expect(strict.lines.join('\n')).toContain('too far behind');
  const doctor = await runCommand(['doctor', '--json'], {
    ...space.env,
    DATABASE_READ_URL: readUrl,
    DATABASE_READ_LAG_SECONDS: '1',
  });
  expect(JSON.parse(doctor.output).findings).toContainEqual(
    expect.objectContaining({ check: 'read replica', status: 'warn' }),
  );
  await servers.release();
  await used(strict);
  await copied(id);
  expect(await listed(patient)).toContain(id);
});

test('an erased user is gone from every API once it is answered, however far the replica is behind', async () => {
  const id = await send({ user_id: 'erased' });
  await processed(id);
  await copied(id);
  await servers.hold();
  const gone = await call(strict.url, 'DELETE', '/v1/users/erased');
  expect(gone.status).toBe(200);
  expect((await status(strict, id)).status).toBe(404);
  expect((await get(strict, '/v1/users/erased/friendship')).status).toBe(404);
  await servers.release();
  await used(strict);
});

test('the audit reads tables from the replica, and is right whatever state that is in', async () => {
  const env = { ...space.env, DATABASE_READ_URL: readUrl, DATABASE_READ_LAG_SECONDS: '300' };
  // Tests before this one have changed scores by hand.
  expect((await runCommand(['rebuild', '--apply'], space.env)).code).toBe(0);
  const id = await send();
  await processed(id);
  await copied(id);
  expect((await runCommand(['audit'], env)).code).toBe(0);
  await servers.hold();
  await space.database.query(
    "UPDATE friendship_status SET friendship_score = friendship_score + 1 WHERE user_id = 'old'",
  );
  expect((await runCommand(['audit'], env)).code).toBe(0);
  await used(strict, 0);
  expect((await runCommand(['audit'], { ...env, DATABASE_READ_LAG_SECONDS: '1' })).code).toBe(1);
  await space.database.query(
    "UPDATE friendship_status SET friendship_score = friendship_score - 1 WHERE user_id = 'old'",
  );
  await servers.release();
});

test('killed, it costs no answer; an API starts without it, and both come back to it', async () => {
  const id = await send();
  await processed(id);
  await copied(id);
  await used(patient);
  let isOver = false;
  const answers: number[] = [];
  const asking = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        answers.push((await status(patient, id)).status);
        answers.push((await get(patient, '/v1/users/user_1/friendship')).status);
        answers.push((await get(patient, '/v1/conversations?limit=5')).status);
      }
    }),
  );
  await servers.replica.kill();
  await used(patient, 0);
  const late = await startMember('api', { ...space.env, DATABASE_READ_URL: readUrl });
  expect((await status(late, id)).body.status).toBe('PROCESSED');
  expect((await runCommand(['audit'], { ...space.env, DATABASE_READ_URL: readUrl })).code).toBe(0);
  isOver = true;
  await asking;
  expect(new Set(answers)).toEqual(new Set([200]));
  expect(patient.lines.join('\n')).toContain('reports are read from the primary');
  await servers.replica.start();
  await used(patient);
  await used(late);
  // It copies again, and does not only answer.
  const more = await send();
  await processed(more);
  await copied(more);
  expect(await late.stop()).toBe(0);
  expect(Object.keys(await statuses(space.database))).toEqual(['PROCESSED']);
});
