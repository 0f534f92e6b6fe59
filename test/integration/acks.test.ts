import { connect } from 'amqplib';
import { expect, inject, test, vi } from 'vitest';
import { createConsumer, topologyNames } from '../../src/broker/index.ts';
import type { Delivery } from '../../src/consume/ports.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { openBroker } from '../support/broker.ts';

/**
 * Acks are sent together, some of them as one frame: whatever the order of the answers, the broker must take each as it
 * was meant.
 */

const queueName = `acks_${process.pid}_processing`;
const names = topologyNames(queueName);
const log = createLogger({ role: 'test', level: 'silent', format: 'json' });

async function consume(count: number) {
  const deliveries: Delivery[] = [];
  const consumer = createConsumer({
    url: inject('rabbitmqUrl'),
    topology: { queueName, queueType: 'quorum', maxLength: 1_000 },
    lanes: ['normal'],
    weights: { high: 1, normal: 1, low: 1 },
    startDeadlineMs: 30_000,
    prefetch: count,
    isPaused: false,
    onDelivery: (delivery) => deliveries.push(delivery),
    onChannelLost: () => {},
    log,
    name: 'acks',
  });
  await consumer.firstSession;
  const broker = await openBroker(inject('rabbitmqUrl'));
  for (let i = 0; i < count; i++) broker.publish(queueName, `${i}`);
  await vi.waitFor(() => expect(deliveries).toHaveLength(count), { timeout: 10_000 });
  return { deliveries, consumer, broker };
}

async function dispose(): Promise<void> {
  const connection = await connect(inject('rabbitmqUrl'));
  const channel = await connection.createChannel();
  await channel.deleteQueue(names.queues.normal);
  await channel.deleteQueue(names.deadQueue);
  await channel.deleteExchange(names.deadExchange);
  await connection.close();
}

test('out of order, in several turns, between dead letters and returns: only the unanswered ones return', async () => {
  const { deliveries, consumer, broker } = await consume(12);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const at = (n: number) => deliveries[n] as Delivery;
  at(2).ack();
  at(4).ack(); // not the oldest: each on its own
  await turn();
  at(1).deadLetter();
  at(0).ack(); // a run starting at the oldest: 0, (1), (2)
  await turn();
  at(5).ack();
  at(7).ack();
  at(3).ack(); // 3, (4), 5 together; 7 alone, because 6 is still open
  await turn();
  at(9).deadLetter();
  at(10).ack();
  // 6, 8 and 11 are unanswered.
  await consumer.close(); // with an ack that has not been sent yet
  const left = (await broker.takeAll(names.queues.normal)).map((message) => message.content.toString());
  expect(left.sort()).toEqual(['11', '6', '8']);
  await vi.waitFor(async () => expect(await broker.depth(names.deadQueue)).toBe(2));
  expect((await broker.takeAll(names.deadQueue)).map((message) => message.content.toString()).sort()).toEqual([
    '1',
    '9',
  ]);
  await broker.close();
  await dispose();
});

test('two hundred in random order: each is acked once, and the channel raises no error', async () => {
  const count = 200;
  const { deliveries, consumer, broker } = await consume(count);
  const order = deliveries.map((delivery) => ({ delivery, at: Math.random() })).sort((x, y) => x.at - y.at);
  for (const [n, { delivery }] of order.entries()) {
    delivery.ack();
    if (n % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  // The next two hundred fit under the prefetch only when the queue has counted every ack. Closing before that may lose
  // some: the broker passes single acks on to a quorum queue in a window of a few dozen, and drops those still waiting
  // when the channel closes.
  for (let i = count; i < 2 * count; i++) broker.publish(queueName, `${i}`);
  await vi.waitFor(() => expect(deliveries).toHaveLength(2 * count), { timeout: 10_000 });
  expect(deliveries.every((delivery) => delivery.live)).toBe(true);
  await consumer.close();
  const left = (await broker.takeAll(names.queues.normal)).map((message) => Number(message.content.toString()));
  expect(left.sort((x, y) => x - y)).toEqual(Array.from({ length: count }, (_, n) => count + n));
  await broker.close();
  await dispose();
});
