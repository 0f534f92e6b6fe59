import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call, conversation, post, postAll, samples, statuses, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';

let servers: OwnServers;
let space: Namespace;
let api: Member;
let workers: Member[];

beforeAll(async () => {
  servers = await startOwnServers();
  space = await createNamespace(
    { database: servers.database.url, rabbitmq: servers.broker.url },
    { LOG_LEVEL: 'info', PUBLISH_GRACE_MS: '2000' },
  );
  api = await startMember('api', space.env);
  workers = await Promise.all([startMember('worker', space.env), startMember('worker', space.env)]);
});
afterAll(async () => {
  for (const member of [api, ...workers]) expect(await member.stop()).toBe(0);
  await space.dispose();
  await servers.dispose();
});

const processed = (n: number) =>
  vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: n }), {
    timeout: 120_000,
    interval: 200,
  });

test.each([
  ['stopped', 'stop'],
  ['killed', 'kill'],
] as const)(
  'broker %s while conversations come in: every one is accepted, and scored once the broker is back',
  async (_name, end) => {
    const before = (await statuses(space.database))['PROCESSED'] ?? 0;
    let ended = false;
    const ending = delay(300)
      .then(() => servers.broker[end]())
      .then(() => {
        ended = true;
      });
    let sent = 0;
    while (!ended || sent < 300) {
      const batch = samples()
        .slice(0, 50)
        .map((body) => ({ ...body, conversation_id: `conv_${end}_${sent++}` }));
      for (const answer of await postAll(api.url, batch, 25)) expect(answer.status).toBe(202);
    }
    await ending;
    // With no broker at all: still accepting, and ready, though degraded.
    const alone = Array.from({ length: 100 }, () => conversation());
    for (const answer of await postAll(api.url, alone)) expect(answer.status).toBe(202);
    expect(await call(api.url, 'GET', '/readyz')).toMatchObject({
      status: 200,
      body: { status: 'degraded', database: 'up', broker: 'down' },
    });

    await servers.broker.start();
    await processed(before + sent + 100);
    expect(await wrongSums(space.database)).toEqual([]);
    await vi.waitFor(async () => expect((await call(api.url, 'GET', '/readyz')).body.status).toBe('ready'), {
      timeout: 30_000,
    });
  },
);

test('an API that starts without a broker serves, and its events are scored once the broker is up', async () => {
  const before = (await statuses(space.database))['PROCESSED'] ?? 0;
  await servers.broker.stop();
  const late = await startMember('api', space.env);
  expect((await post(late.url, conversation())).status).toBe(202);
  await servers.broker.start();
  await processed(before + 1);
  expect(await late.stop()).toBe(0);
});
