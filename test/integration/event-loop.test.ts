import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, postAll, statuses } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let worker: Member;

beforeAll(async () => {
  const rabbitmq = new URL(inject('rabbitmqUrl'));
  // Two missed one-second heartbeats end a connection: a blocked event loop would show at once.
  rabbitmq.searchParams.set('heartbeat', '1');
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: rabbitmq.href },
    {
      SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)),
      SCORING_THREADS: String(Math.min(10, availableParallelism() * 2)),
    },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

test('with every thread burning CPU, heartbeats go on and the API answers', async () => {
  const bodies = Array.from({ length: 12 }, () => conversation({ metadata: { act: 'burn', ms: 1_500 } }));
  expect((await postAll(api.url, bodies)).every((a) => a.status === 202)).toBe(true);
  // The dry run burns in the API's own process, in a thread.
  const dryRun = call(
    api.url,
    'POST',
    '/v1/conversations/score',
    conversation({ metadata: { act: 'burn', ms: 3_000 } }),
  );
  let answered = 0;
  const done = dryRun.then(() => true);
  while (!(await Promise.race([done, new Promise<false>((resolve) => setTimeout(resolve, 50, false))]))) {
    expect((await call(api.url, 'GET', '/healthz')).status).toBe(200);
    expect((await post(api.url, conversation())).status).toBe(202);
    answered++;
  }
  expect((await dryRun).status).toBe(200);
  // With the event loop blocked for the 3 s of the dry run this would be one or two.
  expect(answered).toBeGreaterThan(5);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 12 + answered }), {
    timeout: 50_000,
    interval: 200,
  });
  expect(worker.lines.filter((line) => line.includes('broker session lost'))).toEqual([]);
});
