import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { openBatch } from '../support/batch.ts';
import { call, conversation, post, rows } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** `POST /v1/conversations/end/batch`: a body per line, an answer per line. */

let space: Namespace;
let api: Member;
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

const stored = async (prefix: string) => {
  const [row] = await rows<{ n: number }>(
    space.database,
    'SELECT COUNT(*) AS n FROM conversation_events WHERE conversation_id LIKE ?',
    [`${prefix}%`],
  );
  return Number(row?.n);
};
const many = (prefix: string, n: number) =>
  Array.from({ length: n }, (_, i) => conversation({ conversation_id: `${prefix}_${i}` }));

test('each line has the answer that it would have alone, in order; a broken one does not end the rest', async () => {
  const known = conversation();
  await post(api.url, known);
  const lines = [
    conversation(),
    '{"conversation_id": ',
    known,
    { ...known, bot_name: 'Another' },
    { ...conversation(), end_time: 'yesterday' },
    Buffer.from([0x7b, 0xff, 0x7d]),
    '[]',
    'null',
    'x'.repeat(1_048_577),
    { session_id: 'no_such_session' },
    conversation(),
  ];
  const alone = await Promise.all(lines.map((line) => post(api.url, line)));
  const batch = openBatch(api.url);
  await batch.send(...lines);
  const answers = await batch.rest();
  expect(answers.map(({ line }) => line)).toEqual(lines.map((_, i) => i + 1));
  expect(answers.map(({ status }) => status)).toEqual([202, 400, 202, 409, 422, 400, 422, 422, 413, 422, 202]);
  expect(answers.map(({ status }) => status)).toEqual(alone.map(({ status }) => status));
  const bare = ({ request_id: _, event_id: __, message: ___, detail: ____, ...body }: any) => body;
  expect(answers.map(({ body }) => bare(body))).toEqual(alone.map(({ body }) => bare(body)));
  // What was sent alone a moment ago is a replay by now.
  expect(answers.flatMap(({ line, replayed }) => (replayed ? [line] : []))).toEqual([1, 3, 11]);
});

test('an answer comes as soon as its line is accepted, while the client goes on; blank lines have none', async () => {
  const batch = openBatch(api.url);
  for (const number of [1, 3, 5]) {
    await batch.send(conversation(), '  ');
    expect(await batch.next()).toMatchObject({ line: number, status: 202 });
  }
  expect(await batch.rest()).toEqual([]);
});

test('an empty batch has no answers, and the last line needs no end', async () => {
  expect(await openBatch(api.url).rest()).toEqual([]);
  const batch = openBatch(api.url);
  batch.request.write(JSON.stringify(conversation()));
  expect(await batch.rest()).toMatchObject([{ line: 1, status: 202 }]);
});

test('the same conversation on several lines, and in several batches at once, counts once', async () => {
  const body = conversation();
  const batches = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const batch = openBatch(api.url);
      await batch.send(...Array.from({ length: 20 }, () => body));
      return batch.rest();
    }),
  );
  const answers = batches.flat();
  expect(new Set(answers.map((answer) => answer.body.event_id)).size).toBe(1);
  expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(await stored(body.conversation_id)).toBe(1);
});

test('a client that does not read is not read from either, and nobody waits for it', async () => {
  const prefix = `deaf_${randomUUID()}`;
  const batch = openBatch(api.url);
  let sent = 0;
  const sending = (async () => {
    for (const line of many(prefix, 200_000)) {
      await batch.send(line);
      sent++;
    }
  })();
  sending.catch(() => {});
  // It goes on for as long as there is room on the way, and then stands still.
  let before = -1;
  await vi.waitFor(
    async () => {
      const now = await stored(prefix);
      const isStill = now > 0 && now === before;
      before = now;
      expect(isStill).toBe(true);
    },
    { timeout: 60_000, interval: 1_000 },
  );
  expect(sent).toBeLessThan(200_000);
  expect((await post(api.url, conversation())).status).toBe(202);
  batch.request.destroy();
  await vi.waitFor(async () => {
    const { body } = await call(api.url, 'GET', '/health/detailed');
    expect(body.queues.find(({ name }: { name: string }) => name === 'batches')).toMatchObject({ held: 0 });
  });
});

test('a client that leaves in the middle sends everything again, and each counts once', async () => {
  const prefix = `left_${randomUUID()}`;
  const lines = many(prefix, 1_000);
  const first = openBatch(api.url);
  await first.send(...lines.slice(0, 500));
  expect(await first.next()).toMatchObject({ status: 202 });
  first.request.destroy();
  const again = openBatch(api.url);
  const sending = again.send(...lines);
  const answers = sending.then(() => again.rest());
  expect((await answers).map(({ status }) => status)).toEqual(lines.map(() => 202));
  expect(await stored(prefix)).toBe(1_000);
});

test('an API that is told to stop answers what it has read, and ends', async () => {
  const own = await startMember('api', space.env);
  const prefix = `drain_${randomUUID()}`;
  const lines = many(prefix, 50_000);
  const batch = openBatch(own.url);
  const sending = batch.send(...lines);
  sending.catch(() => {});
  expect(await batch.next()).toMatchObject({ status: 202 });
  own.signal('SIGTERM');
  let answered = 1;
  for (let answer = await batch.next(); answer !== null; answer = await batch.next()) {
    expect(answer.status).toBe(202);
    answered++;
  }
  expect(await own.ended).toBe(0);
  expect(answered).toBeLessThan(50_000);
  expect(await stored(prefix)).toBe(answered);
});

test.each([
  ['JSON', { 'content-type': 'application/json' }, 415, 'unsupported_media_type'],
  ['no type', { 'content-type': '' }, 415, 'unsupported_media_type'],
  ['compressed', { 'content-encoding': 'gzip' }, 415, 'unsupported_encoding'],
])('%s is refused before anything is read', async (_, headers, status, code) => {
  const type = { 'content-type': 'application/x-ndjson' };
  const answer = await call(api.url, 'POST', '/v1/conversations/end/batch', '{}\n', { ...type, ...headers });
  expect(answer).toMatchObject({ status, body: { code } });
});

test('more batches at once than there may be are refused, and there is room again after one ends', async () => {
  const open = Array.from({ length: 16 }, () => openBatch(api.url));
  await Promise.all(open.map((batch) => batch.response()));
  expect((await openBatch(api.url).response()).statusCode).toBe(503);
  expect(await open.pop()?.rest()).toEqual([]);
  await vi.waitFor(async () => {
    const batch = openBatch(api.url);
    const { statusCode } = await batch.response();
    batch.request.destroy();
    expect(statusCode).toBe(200);
  });
  for (const batch of open) expect(await batch.rest()).toEqual([]);
});

test('each line counts against the limits of its key and of its user', async () => {
  const own = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const token = await createKey(own.env, 'limited', '--rate', '11');
  const limited = await startMember('api', { ...own.env, USER_EVENTS_PER_MINUTE: '4' });
  const batch = openBatch(limited.url, bearer(token));
  const by = (user_id: string) => Array.from({ length: 6 }, () => conversation({ user_id }));
  await batch.send(...by('user_1'), ...by('user_2'));
  const statuses = (await batch.rest()).map(({ status }) => status);
  // The request itself is the first of eleven.
  expect(statuses).toEqual([202, 202, 202, 202, 429, 429, 202, 202, 202, 202, 429, 429]);
  expect(await limited.stop()).toBe(0);
  await own.dispose();
});
