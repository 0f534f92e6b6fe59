import { connect } from 'amqplib';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { openBroker } from '../support/broker.ts';
import { call, conversation, post } from '../support/client.ts';
import { startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/**
 * What a broker counts against a message depends on its version: requeues, closed channels, or both. None of it may end
 * an event.
 */

let space: Namespace;
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
});
afterAll(() => space.dispose());

test('an event that came back 60 times is still scored, with no attempt used', async () => {
  const api = await startMember('api', space.env);
  const body = conversation();
  await post(api.url, body);
  const broker = await openBroker(inject('rabbitmqUrl'));
  await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(1), { timeout: 20_000, interval: 50 });
  for (let i = 0; i < 60; i++) {
    // More often than RabbitMQ 4 allows by default (20): through closed connections and through nacks.
    const connection = await connect(inject('rabbitmqUrl'));
    const channel = await connection.createChannel();
    const message = await vi.waitFor(
      async () => {
        const got = await channel.get(space.queue);
        if (got === false) throw new Error('not back yet');
        return got;
      },
      { timeout: 10_000, interval: 10 },
    );
    if (i % 2) channel.nack(message, false, true);
    await connection.close();
  }
  expect(await broker.depth(space.deadQueue)).toBe(0);
  const worker = await startMember('worker', space.env);
  await vi.waitFor(
    async () =>
      expect((await call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`)).body).toMatchObject({
        status: 'PROCESSED',
        attempt_count: 0,
      }),
    { timeout: 20_000 },
  );
  expect(await broker.depth(space.deadQueue)).toBe(0);
  await broker.close();
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
});
