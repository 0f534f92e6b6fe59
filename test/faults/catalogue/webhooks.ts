import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import { call, rows } from '../../support/client.ts';
import type { Fleet } from '../../support/fleet.ts';
import { type Listener, passHours } from '../../support/told.ts';
import type { Traffic } from '../../support/traffic.ts';
import { sql } from './fault.ts';

/** What a fault of webhooks has to work with. Only `troubled` is to misbehave. */
type WebhookScene = {
  readonly fleet: Fleet;
  readonly traffic: Traffic;
  readonly steady: Listener;
  readonly troubled: Listener;
};
export type WebhookFault = {
  readonly name: string;
  readonly strike: (scene: WebhookScene) => Promise<void>;
  /** The troubled endpoint is disabled for a while: what closes meanwhile is not meant for it. */
  readonly mayMiss?: true;
};

/** Bytes that occur in only one kind of packet to the database. */
const recordAttempt = 'UPDATE webhook_deliveries SET state';
const claim = 'SET attempt_count = attempt_count + 1';

const breakages: readonly [name: string, misbehave: (response: ServerResponse) => void | Promise<void>][] = [
  ['answers 500', (response) => void response.writeHead(500).end()],
  ['answers 429 and asks for a year', (response) => void response.writeHead(429, { 'retry-after': '31536000' }).end()],
  ['ends every connection', (response) => void response.socket?.destroy()],
  ['takes messages and never answers', () => {}],
  ['redirects into the network', (response) => void response.writeHead(308, { location: 'http://10.0.0.1/' }).end()],
  [
    'answers 200 and something endless',
    async (response) => {
      response.writeHead(200);
      while (!response.destroyed) {
        response.write(Buffer.alloc(1_000, 'x'));
        await delay(10);
      }
    },
  ],
];

/** Waits until this listener has been asked so many times more. */
async function untilAsked({ receiver }: Listener, more: number): Promise<void> {
  const target = receiver.received.length + more;
  await vi.waitUntil(() => receiver.received.length >= target, { timeout: 60_000, interval: 20 });
}

/** One that is troubled delays nobody: the other is told of everything that is accepted meanwhile. */
async function othersAreTold({ steady, traffic }: WebhookScene): Promise<void> {
  const before = new Set(traffic.accepted.keys());
  await traffic.more(20);
  const wanted = [...traffic.accepted].filter(([id]) => !before.has(id)).map(([, { eventId }]) => eventId);
  await vi.waitFor(
    () => {
      const told = new Set(steady.receiver.received.map(({ body }) => JSON.parse(body).data.event_id));
      expect(wanted.filter((id) => !told.has(id))).toEqual([]);
    },
    { timeout: 30_000, interval: 100 },
  );
}

/** An API that dies at this packet, with messages on their way. */
async function killedAt({ fleet, traffic }: WebhookScene, hold: (fleet: Fleet) => Promise<void>): Promise<void> {
  await hold(fleet);
  fleet.api.member.signal('SIGKILL');
  await fleet.api.member.ended;
  fleet.network.database.cut();
  await fleet.network.database.restore();
  await fleet.healthy();
  await traffic.more(20);
}

/** Receivers, the database and processes break while conversations close and others want to know. */
export const webhookFaults: readonly WebhookFault[] = [
  ...breakages.map(([what, misbehave]) => ({
    name: `a receiver that ${what}`,
    async strike(scene: WebhookScene) {
      const { fleet, troubled } = scene;
      troubled.receiver.behave((response) => misbehave(response));
      await untilAsked(troubled, 5);
      await othersAreTold(scene);
      await passHours(fleet, 0.1);
      await untilAsked(troubled, 1);
      troubled.receiver.behave(null);
    },
  })),
  {
    name: 'a receiver that is gone: 410 ends it, and what it missed is sent when somebody asks',
    mayMiss: true,
    async strike(scene) {
      const { fleet, traffic, troubled } = scene;
      const endpoint = `/v1/webhooks/${troubled.id}`;
      troubled.receiver.behave((response) => void response.writeHead(410).end());
      await vi.waitFor(async () => expect((await call(fleet.url, 'GET', endpoint)).body.state).toBe('disabled'), {
        timeout: 30_000,
      });
      troubled.receiver.behave(null);
      expect((await call(fleet.url, 'PATCH', endpoint, { state: 'enabled' })).status).toBe(200);
      await traffic.more(20);
      // What was written before it was disabled.
      await vi.waitFor(
        async () => {
          await call(fleet.url, 'POST', `${endpoint}/replay`, { state: 'FAILED' });
          const failed = "SELECT 1 FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'FAILED' LIMIT 1";
          expect(await rows(fleet.space.database, failed, [troubled.id])).toEqual([]);
        },
        { timeout: 30_000, interval: 200 },
      );
    },
  },
  {
    name: 'an API killed while receivers are slow',
    async strike({ fleet, traffic, troubled }) {
      troubled.receiver.behave((response) => void setTimeout(() => response.writeHead(204).end(), 2_000));
      await untilAsked(troubled, 5);
      fleet.api.member.signal('SIGKILL');
      await fleet.api.member.ended;
      await fleet.healthy();
      troubled.receiver.behave(null);
      await traffic.more(20);
    },
  },
  {
    name: 'an API killed when it has claimed, and before it sends',
    strike: (scene) => killedAt(scene, ({ network }) => network.database.loseAnswerTo(claim)),
  },
  {
    name: 'an API killed when a receiver has answered, and before that is recorded',
    strike: (scene) => killedAt(scene, ({ network }) => network.database.holdAt('up', recordAttempt)),
  },
  {
    name: 'an API killed when it is recorded, and before it knows',
    strike: (scene) => killedAt(scene, ({ network }) => network.database.loseAnswerTo(recordAttempt)),
  },
  {
    name: 'an API told to stop while receivers are slow',
    async strike({ fleet, traffic, troubled }) {
      troubled.receiver.behave((response) => void setTimeout(() => response.writeHead(204).end(), 500));
      for (let i = 0; i < 2; i++) {
        await untilAsked(troubled, 5);
        expect(await fleet.restart(fleet.api)).toBe(0);
      }
      troubled.receiver.behave(null);
      await traffic.more(20);
    },
  },
  {
    name: 'a worker killed when it has closed conversations, and before it knows',
    async strike({ fleet, traffic }) {
      for (const worker of fleet.workers) {
        await fleet.network.database.loseAnswerTo(sql.settle);
        worker.member.signal('SIGKILL');
        await worker.member.ended;
        fleet.network.database.cut();
        await fleet.network.database.restore();
        await traffic.more(20);
      }
    },
  },
  {
    name: 'two APIs that send, one frozen while its claims end',
    async strike({ fleet, traffic, troubled }) {
      const other = await fleet.start('api');
      troubled.receiver.behave((response) => void setTimeout(() => response.writeHead(204).end(), 500));
      await untilAsked(troubled, 10);
      other.signal('SIGSTOP');
      await passHours(fleet, 0.1);
      await traffic.more(30);
      other.signal('SIGCONT');
      troubled.receiver.behave(null);
      await traffic.more(10);
      expect(await other.stop()).toBe(0);
    },
  },
  {
    name: 'database away while messages are on their way',
    async strike({ fleet, traffic, troubled }) {
      troubled.receiver.behave((response) => void setTimeout(() => response.writeHead(204).end(), 500));
      await untilAsked(troubled, 5);
      const before = traffic.repeats;
      await fleet.network.database.refuse();
      await vi.waitUntil(() => traffic.repeats > before + 10, { timeout: 30_000, interval: 50 });
      await fleet.network.database.restore();
      troubled.receiver.behave(null);
      await traffic.more(30);
    },
  },
  {
    name: 'database killed while messages are on their way',
    async strike({ fleet, traffic }) {
      await fleet.network.database.holdAt('up', recordAttempt);
      await fleet.servers.database.kill();
      await fleet.servers.database.start();
      fleet.network.database.cut();
      await fleet.network.database.restore();
      await traffic.more(30);
    },
  },
];
