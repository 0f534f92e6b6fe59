import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { conversation, post, statuses } from '../support/client.ts';
import { runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let broker: BrokerHand;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterAll(async () => {
  await broker.close();
  await space.dispose();
});

test.each(['api', 'worker'])(
  '%s: a queue with other arguments is a start-up error that names the difference and the fix',
  async (role) => {
    const queue = `${space.queue}_other`;
    await broker.channel.assertQueue(queue, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 7, 'x-overflow': 'reject-publish' },
    });
    const { code, output } = await runCommand([role], { ...space.env, RABBITMQ_QUEUE_NAME: queue });
    expect(code).toBe(78);
    expect(output).toContain(`${queue} exists on the broker with other arguments: inequivalent arg 'x-`);
    expect(output).toContain(`rabbitmqctl delete_queue ${queue}`);
    await broker.channel.deleteQueue(queue);
  },
);

test('a topology conflict that appears long after the start is logged and waited out; accepting goes on', async () => {
  const queue = `${space.queue}_later`;
  const assertOther = () =>
    broker.channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-max-length': 7 } });
  await assertOther();
  // Its start-up phase is over at once.
  const api = await startMember('api', {
    ...space.env,
    RABBITMQ_QUEUE_NAME: queue,
    START_DEADLINE_MS: '0',
    PUBLISH_GRACE_MS: '500',
  });
  await vi.waitFor(() => expect(api.lines.join()).toContain('the broker refuses us, trying again'), {
    timeout: 20_000,
  });
  const { status } = await post(api.url, conversation());
  expect(status).toBe(202);
  await broker.channel.deleteQueue(queue);
  await vi.waitFor(() => expect(api.lines.join()).toContain('broker connected'), { timeout: 30_000 });
  await vi.waitFor(async () => expect(await broker.depth(queue)).toBe(1), { timeout: 30_000 });
  expect(await api.stop()).toBe(0);
  await space.database.query('DELETE FROM conversation_events');
  for (const suffix of ['', '_dead']) await broker.channel.deleteQueue(`${queue}${suffix}`);
  await broker.channel.deleteExchange(`${queue}_dlx`);
});

test.each([
  ['a wrong password', { password: 'wrong' }, /refuses the login of \w+: check user and password in RABBITMQ_URL/],
  ['an unknown virtual host', { pathname: '/nowhere' }, /refuses the virtual host nowhere/],
])('%s is not taken for a broker that is down: api, worker and tools end and say so', async (_name, spoil, message) => {
  const url = Object.assign(new URL(inject('rabbitmqUrl')), spoil);
  const env = { ...space.env, RABBITMQ_URL: url.href };
  for (const { code, output } of await Promise.all(['api', 'worker'].map((role) => runCommand([role], env)))) {
    expect(code).toBe(78);
    expect(output).toMatch(message);
  }
  expect(await runCommand(['dead', 'list'], env)).toMatchObject({ code: 1, output: expect.stringMatching(message) });
  expect(await runCommand(['doctor'], env)).toMatchObject({ code: 1, output: expect.stringMatching(message) });
});

test('a classic queue serves too, for brokers without quorum queues', async () => {
  const env = { ...space.env, RABBITMQ_QUEUE_TYPE: 'classic', RABBITMQ_QUEUE_NAME: `${space.queue}_classic` };
  const api = await startMember('api', env);
  const worker = await startMember('worker', env);
  await post(api.url, conversation());
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 1 }), { timeout: 20_000 });
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  for (const suffix of ['', '_dead']) await broker.channel.deleteQueue(`${space.queue}_classic${suffix}`);
  await broker.channel.deleteExchange(`${space.queue}_classic_dlx`);
});

test('a queue deleted under its consumer is declared and consumed again', async () => {
  const api = await startMember('api', { ...space.env, PUBLISH_GRACE_MS: '500' });
  const worker = await startMember('worker', space.env);
  await vi.waitFor(() => expect(worker.lines.join()).toContain('consuming'));
  await broker.channel.deleteQueue(space.queue);
  await post(api.url, conversation());
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 2 }), { timeout: 20_000 });
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
});

test('a full queue refuses events, the database keeps them, and all are scored once there is room', async () => {
  const env = {
    ...space.env,
    RABBITMQ_QUEUE_NAME: `${space.queue}_small`,
    RABBITMQ_QUEUE_MAX_LENGTH: '5',
    PUBLISH_GRACE_MS: '500',
  };
  const api = await startMember('api', env);
  await vi.waitFor(() => expect(api.lines.join()).toContain('broker connected'));
  const answers = await Promise.all(Array.from({ length: 60 }, () => post(api.url, conversation())));
  expect(answers.every((a) => a.status === 202)).toBe(true);
  const worker = await startMember('worker', env);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 62 }), {
    timeout: 40_000,
    interval: 100,
  });
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  for (const suffix of ['', '_dead']) await broker.channel.deleteQueue(`${space.queue}_small${suffix}`);
  await broker.channel.deleteExchange(`${space.queue}_small_dlx`);
});
