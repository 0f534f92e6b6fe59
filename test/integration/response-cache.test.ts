import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** What an API keeps of its answers is never wrong for those who could know better. */

let space: Namespace;
let apis: [Member, Member, Member];
let worker: Member;
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const start = (seconds: string) => startMember('api', { ...space.env, RESPONSE_CACHE_SECONDS: seconds });
  // The second one keeps nothing; the third one for long.
  apis = [await start('1'), await start('0'), await start('60')];
  worker = await startMember('worker', {
    ...space.env,
    MAX_ATTEMPTS: '1',
    SCORER_MODULE: new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname,
  });
});
afterAll(async () => {
  for (const member of [...apis, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 30_000, interval: 50 });
const status = (api: Member, id: string, headers = {}) =>
  call(api.url, 'GET', `/v1/conversations/${id}`, undefined, headers);

async function closed(more: Record<string, unknown> = {}): Promise<string> {
  const body = conversation(more);
  await post(apis[1].url, body);
  await until(async () =>
    expect((await status(apis[1], body.conversation_id)).body.status).toMatch(/PROCESSED|FAILED/),
  );
  return body.conversation_id;
}
const rename = (id: string) =>
  space.database.query("UPDATE conversation_events SET bot_name = 'Renamed' WHERE conversation_id = ?", [id]);

test('a PROCESSED status is kept for its time, with its ETag; without the setting, it is read each time', async () => {
  const id = await closed();
  const [kept, , long] = [await status(apis[0], id), await status(apis[1], id), await status(apis[2], id)];
  await rename(id);
  expect((await status(apis[1], id)).body.bot_name).toBe('Renamed');
  expect((await status(apis[2], id)).body).toEqual(long.body);
  const etag = String(kept.headers['etag']);
  expect((await status(apis[2], id, { 'if-none-match': etag })).status).toBe(304);
  await until(async () => expect((await status(apis[0], id)).body.bot_name).toBe('Renamed'));
  // With what may be removed by age, it is always read.
  expect((await call(apis[2].url, 'GET', `/v1/conversations/${id}?include=log`)).body.bot_name).toBe('Renamed');
});

test('what can change is not kept: a retry elsewhere is seen at once', async () => {
  const id = await closed({ metadata: { act: 'refuse' } });
  expect((await status(apis[2], id)).body.status).toBe('FAILED');
  await call(apis[1].url, 'POST', `/v1/conversations/${id}/retry`);
  const { attempt_count, status: now } = (await status(apis[2], id)).body;
  expect(`${now} ${attempt_count}`).not.toBe('FAILED 0');
  await until(async () =>
    expect((await status(apis[2], id)).body).toMatchObject({ status: 'FAILED', attempt_count: 1 }),
  );
});

test('a friendship has every conversation that is PROCESSED, in every API', async () => {
  const user_id = `user_cache_${process.pid}`;
  for (let n = 1; n <= 25; n++) {
    await closed({ user_id, agent_tag: n % 2 === 0 ? 'pets' : 'cars' });
    for (const api of apis) {
      const { body } = await call(api.url, 'GET', `/v1/users/${user_id}/friendship`);
      expect(body.friendship_score).toBe(2 * n);
      expect(body.topics.reduce((sum: number, t: { score: number }) => sum + t.score, 0)).toBe(2 * n);
    }
  }
});

test('an erasure is answered when no API shows the user any more', async () => {
  const user_id = `user_gone_${process.pid}`;
  const id = await closed({ user_id });
  const show = () =>
    Promise.all([
      status(apis[0], id),
      call(apis[0].url, 'GET', `/v1/users/${user_id}/friendship`),
      status(apis[2], id),
    ]);
  expect((await show()).map((answer) => answer.status)).toEqual([200, 200, 200]);
  // The one with the longest time erases: it waits for what others with the same setting may keep.
  const short = await startMember('api', { ...space.env, RESPONSE_CACHE_SECONDS: '1' });
  let isOver = false;
  const looking = (async () => {
    while (!isOver) await status(apis[0], id);
  })();
  expect((await call(short.url, 'DELETE', `/v1/users/${user_id}`)).status).toBe(200);
  isOver = true;
  expect((await status(apis[0], id)).status).toBe(404);
  expect((await call(apis[0].url, 'GET', `/v1/users/${user_id}/friendship`)).status).toBe(404);
  await looking;
  expect(await short.stop()).toBe(0);
});

test('what is kept is shown to nobody who may not see it', async () => {
  const id = await closed({ user_id: 'user_secret' });
  const all = await createKey(space.env, 'all', '--scope', 'read');
  const other = await createKey(space.env, 'other', '--scope', 'read', '--user', 'user_other');
  await until(async () => expect((await status(apis[2], id)).status).toBe(401));
  expect((await status(apis[2], id, bearer(all))).status).toBe(200);
  expect((await status(apis[2], id, bearer(other))).status).toBe(404);
  expect((await status(apis[2], id, bearer(all))).status).toBe(200);
});
