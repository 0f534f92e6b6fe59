import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import { topologyNames } from '../../../src/broker/index.ts';
import { openBroker } from '../../support/broker.ts';
import { call, rows } from '../../support/client.ts';
import type { Fleet } from '../../support/fleet.ts';
import type { Traffic } from '../../support/traffic.ts';
import { amqp, type Fault, untilSaid } from './fault.ts';

/** Broker outages and lost messages. Accepting goes on throughout. */
export const brokerFaults: readonly Fault[] = [
  {
    name: 'broker killed and started again',
    async strike({ fleet, traffic, whileBroken }) {
      await fleet.servers.broker.kill();
      await traffic.more(30);
      await whileBroken();
      await fleet.servers.broker.start();
    },
  },
  {
    name: 'broker stopped and started again',
    async strike({ fleet, traffic, whileBroken }) {
      await fleet.servers.broker.stop();
      await traffic.more(30);
      await whileBroken();
      await fleet.servers.broker.start();
    },
  },
  {
    name: 'broker comes back without its data',
    async strike({ fleet, whileBroken }) {
      await backlog(
        fleet,
        () => queued(fleet, 20),
        () => fleet.servers.broker.kill(),
      );
      await whileBroken();
      await fleet.servers.broker.wipe();
    },
  },
  {
    name: 'queue purged',
    async strike({ fleet, whileBroken }) {
      await backlog(
        fleet,
        () => queued(fleet, 20),
        async () => {
          await withHand(fleet, async (hand) =>
            expect((await hand.channel.purgeQueue(fleet.space.queue)).messageCount).toBeGreaterThan(0),
          );
        },
      );
      await whileBroken();
    },
  },
  {
    name: 'queue deleted under its consumers',
    async strike({ fleet, whileBroken }) {
      await backlog(
        fleet,
        () => queued(fleet, 20),
        async () => {
          await withHand(fleet, async (hand) =>
            expect((await hand.channel.deleteQueue(fleet.space.queue)).messageCount).toBeGreaterThan(0),
          );
        },
      );
      await whileBroken();
    },
  },
  {
    name: 'queues of the other lanes deleted under their consumers',
    async strike({ fleet, whileBroken }) {
      const { high, low } = topologyNames(fleet.space.queue).queues;
      await backlog(
        fleet,
        async () => {
          for (const queue of [high, low]) await queued(fleet, 5, queue);
        },
        async () => {
          await withHand(fleet, async (hand) => {
            for (const queue of [high, low])
              expect((await hand.channel.deleteQueue(queue)).messageCount).toBeGreaterThan(0);
          });
        },
      );
      await whileBroken();
    },
  },
  {
    name: 'broker refuses connections',
    async strike({ fleet, traffic, whileBroken, longMs }) {
      await fleet.network.broker.refuse();
      await traffic.more(30);
      await Promise.all([whileBroken(), delay(longMs)]);
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'broker falls silent (half-open connections)',
    async strike({ fleet, traffic, whileBroken }) {
      await untilSaid(fleet, 'broker session lost', async () => {
        // Only heartbeats detect this.
        fleet.network.broker.silence('up', 'down');
        await traffic.more(30);
      });
      await whileBroken();
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'broker hears and does not answer',
    async strike({ fleet, traffic, whileBroken }) {
      fleet.network.broker.silence('down');
      await traffic.more(30);
      await whileBroken();
      fleet.network.broker.cut();
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'latency and jitter to the broker',
    async strike({ fleet, traffic, whileBroken }) {
      fleet.network.broker.slow(20, 60);
      await traffic.more(60);
      await whileBroken();
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'broker at a trickle (slow loris)',
    async strike({ fleet, traffic, whileBroken }) {
      fleet.network.broker.trickle(64, 5);
      await traffic.more(60);
      await whileBroken();
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'connections to the broker reset, again and again',
    async strike({ fleet, traffic, whileBroken }) {
      for (let i = 0; i < 5; i++) {
        fleet.network.broker.cut();
        await traffic.more(15);
      }
      await whileBroken();
    },
  },
  {
    name: 'a channel that is reset every few seconds, under scorings that take longer',
    async strike({ fleet, traffic, stream, whileBroken }) {
      await Promise.all(longScorings(traffic, stream, 8, { act: 'wait', ms: 1_900 }).map((body) => traffic.send(body)));
      for (let i = 0; i < 5; i++) {
        await untilSaid(fleet, 'broker connected', () => fleet.network.broker.cut());
        await traffic.more(10);
      }
      await whileBroken();
    },
  },
  {
    name: 'a queue whose leader does not answer: confirms beyond the grace, and a depth of nothing',
    async strike({ fleet, traffic, whileBroken }) {
      const leader = `'%2F_${fleet.space.queue}'`;
      await fleet.servers.broker.ctl('eval', `sys:suspend(${leader}).`);
      try {
        await vi.waitFor(async () => expect(await unconfirmed(fleet)).toBeGreaterThan(20), {
          timeout: 30_000,
          interval: 50,
        });
        // Their grace period (2 s) is over, and the relays have run.
        await traffic.more(160);
        expect(await unconfirmed(fleet)).toBeGreaterThan(100);
        await whileBroken();
      } finally {
        await fleet.servers.broker.ctl('eval', `sys:resume(${leader}).`);
      }
    },
  },
  {
    name: 'a backlog that is older than the time after which events are published again',
    async strike({ fleet, traffic, whileBroken }) {
      // Published longer ago than REPUBLISH_AFTER_MS (8 s), yet postponed instead of published again.
      const leftAlone =
        'SELECT 1 FROM conversation_events WHERE published_at < UTC_TIMESTAMP(3) - INTERVAL 8 SECOND ' +
        'AND next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL 3 SECOND';
      await backlog(
        fleet,
        () => queued(fleet, 20),
        async () => {
          await vi.waitFor(async () => expect(await rows(fleet.space.database, leftAlone)).not.toEqual([]), {
            timeout: 30_000,
            interval: 100,
          });
          await traffic.more(10);
        },
      );
      await whileBroken();
    },
  },
  {
    name: 'memory alarm (connection.blocked)',
    async strike({ fleet, traffic, whileBroken }) {
      await untilSaid(fleet, 'broker blocks publishing', async () => {
        await fleet.servers.broker.ctl('set_vm_memory_high_watermark', '0.000001');
        await traffic.more(40);
      });
      expect((await call(fleet.url, 'GET', '/readyz')).status).toBe(200);
      expect((await call(fleet.url, 'GET', '/health/detailed')).body).toMatchObject({ messages_waiting: null });
      await whileBroken();
      await fleet.servers.broker.ctl('set_vm_memory_high_watermark', '0.4');
    },
  },
  {
    name: 'queue full (reject-publish)',
    async strike({ fleet, traffic, whileBroken }) {
      const { queue } = fleet.space;
      await fleet.servers.broker.ctl('set_policy', 'full', `^${queue}$`, '{"max-length":3}', '--apply-to', 'queues');
      await backlog(
        fleet,
        () => untilSaid(fleet, 'the broker did not take every event', () => traffic.more(80)),
        async () => {},
      );
      await whileBroken();
      await fleet.servers.broker.ctl('clear_policy', 'full');
    },
  },
  {
    name: 'a bad ack: PRECONDITION_FAILED closes the channel',
    async strike({ fleet, whileBroken }) {
      await untilSaid(fleet, 'consume channel failed', () =>
        // Replaces the delivery tag with one that never existed.
        fleet.network.broker.spoil(amqp.ack, (chunk, at) => chunk.writeBigUInt64BE(987_654_321n, at)),
      );
      await whileBroken();
    },
  },
  {
    name: 'a delivery held too long (consumer timeout)',
    async strike({ fleet, traffic, stream, whileBroken }) {
      const { broker } = fleet.servers;
      const set = (name: string, value: string) =>
        broker.ctl('eval', `application:set_env(rabbit, ${name}, ${value}).`);
      await set('channel_tick_interval', '300');
      await set('consumer_timeout', '1000');
      // New channels have the new limits.
      fleet.network.broker.cut();
      await traffic.more(10);
      const held = longScorings(traffic, stream, 16, { act: 'burn', ms: 1_900 });
      // Older brokers close the channel; from 4.3 on the queue checks periodically, and cancels the consumer.
      await untilSaid(fleet, '"reason":"consume', () => Promise.all(held.map((body) => traffic.send(body))));
      await whileBroken();
      await set('consumer_timeout', '1800000');
      await set('channel_tick_interval', '60000');
      fleet.network.broker.cut();
    },
  },
];

/** Conversations whose scorings do what the metadata says. */
function longScorings(
  traffic: Traffic,
  stream: string,
  n: number,
  metadata: { readonly act: string; readonly ms: number },
) {
  const sample = [...traffic.accepted.values()][0]?.body;
  return Array.from({ length: n }, (_, i) => ({
    ...sample,
    metadata,
    conversation_id: `${stream}_long_${i}`,
    user_id: `${stream}_user_long`,
  }));
}

/** What the API has published and the broker has not confirmed. */
async function unconfirmed(fleet: Fleet): Promise<number> {
  const { queues } = (await call(fleet.url, 'GET', '/health/detailed')).body as {
    queues: { name: string; held: number }[];
  };
  return queues.find((queue) => queue.name === 'publishes_unconfirmed')?.held ?? 0;
}

/** Suspends the workers during `fill`, so that the queue is not empty, and during `then`; after that they go on. */
async function backlog(fleet: Fleet, fill: () => Promise<void>, then: () => Promise<void>): Promise<void> {
  const members = fleet.livingWorkers();
  for (const member of members) member.signal('SIGSTOP');
  try {
    await fill();
    await then();
  } finally {
    for (const member of members) member.signal('SIGCONT');
  }
}

/** Resolves when this many messages wait in the queue. */
function queued(fleet: Fleet, n: number, queue = fleet.space.queue): Promise<void> {
  return withHand(fleet, async (hand) => {
    await vi.waitFor(async () => expect(await hand.depth(queue)).toBeGreaterThanOrEqual(n), {
      timeout: 60_000,
      interval: 50,
    });
  });
}

async function withHand(
  fleet: Fleet,
  work: (hand: Awaited<ReturnType<typeof openBroker>>) => Promise<unknown>,
): Promise<void> {
  const hand = await openBroker(fleet.servers.broker.url);
  await work(hand);
  await hand.close();
}
