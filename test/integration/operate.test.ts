import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, rows } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let worker: Member;

beforeAll(async () => {
  const scorer = fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url));
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { SCORER_MODULE: scorer, SCORING_THREADS: '1' },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const status = async (id: string) => (await call(api.url, 'GET', `/v1/conversations/${id}`)).body;
const failed = async () => {
  const body = conversation({ metadata: { act: 'refuse', times: 1 } });
  await post(api.url, body);
  await vi.waitFor(async () => expect((await status(body.conversation_id)).status).toBe('FAILED'), { timeout: 10_000 });
  return body.conversation_id;
};

test('a FAILED conversation that is retried starts over and is processed', async () => {
  const id = await failed();
  const answer = await call(api.url, 'POST', `/v1/conversations/${id}/retry`);
  expect(answer).toMatchObject({ status: 202, body: { conversation_id: id, status: 'PENDING' } });
  await vi.waitFor(
    async () => expect(await status(id)).toMatchObject({ status: 'PROCESSED', attempt_count: 0, error: null }),
    {
      timeout: 10_000,
    },
  );
  expect(await call(api.url, 'POST', `/v1/conversations/${id}/retry`)).toMatchObject({
    status: 409,
    body: { code: 'wrong_state' },
  });
});

test('a PENDING conversation that is skipped is never scored, even if its message comes', async () => {
  expect(await worker.stop()).toBe(0);
  const body = conversation({ user_id: 'skipped' });
  await post(api.url, body);
  const skipped = await call(api.url, 'POST', `/v1/conversations/${body.conversation_id}/skip`, {
    reason: 'test data',
  });
  expect(skipped).toMatchObject({ status: 202, body: { status: 'SKIPPED' } });
  const after = conversation({ user_id: 'skipped', metadata: {} });
  await post(api.url, after);
  worker = await startMember('worker', space.env);
  await vi.waitFor(async () => expect((await status(after.conversation_id)).status).toBe('PROCESSED'), {
    timeout: 10_000,
  });
  expect(await status(body.conversation_id)).toMatchObject({
    status: 'SKIPPED',
    error: { details: 'test data' },
    result: null,
    next_attempt_at: null,
  });
  expect((await call(api.url, 'GET', '/v1/users/skipped/friendship')).body.friendship_score).toBe(2);
  expect((await call(api.url, 'POST', `/v1/conversations/${body.conversation_id}/skip`)).status).toBe(409);
});

test('many FAILED events are retried at once, as filtered', async () => {
  const ids = await Promise.all([failed(), failed(), failed()]);
  const retry = (body: object) => call(api.url, 'POST', '/v1/conversations/retry', body);
  expect(await retry({ status: 'FAILED', error_code: 'OTHER' })).toMatchObject({ status: 202, body: { retried: 0 } });
  expect((await retry({ status: 'FAILED', before: '2020-01-01T00:00:00Z' })).body.retried).toBe(0);
  expect((await retry({ status: 'FAILED', error_code: 'SCORER_FAILED', limit: 2 })).body.retried).toBe(2);
  expect((await retry({ status: 'FAILED' })).body.retried).toBe(1);
  for (const id of ids)
    await vi.waitFor(async () => expect((await status(id)).status).toBe('PROCESSED'), { timeout: 10_000 });
});

test('bad requests get an answer that says what is wrong, unknown ids a 404', async () => {
  const bad = await call(api.url, 'POST', '/v1/conversations/retry', {
    status: 'PENDING',
    limit: 0,
    before: 'yesterday',
    x: 1,
  });
  expect(bad.status).toBe(422);
  expect(bad.body.errors.map((e: { pointer: string }) => e.pointer)).toEqual(
    expect.arrayContaining(['/status', '/limit', '/before']),
  );
  for (const action of ['retry', 'skip'])
    expect((await call(api.url, 'POST', `/v1/conversations/none/${action}`)).status).toBe(404);
  expect(
    await rows(space.database, 'SELECT 1 FROM conversation_events WHERE next_attempt_at IS NULL AND status = ?', [
      'PENDING',
    ]),
  ).toEqual([]);
});
