import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis as Client } from 'ioredis';
import { expect, vi } from 'vitest';
import type { Redis } from '../../../scripts/servers/index.ts';
import { call, rows } from '../../support/client.ts';
import type { Fleet } from '../../support/fleet.ts';
import { startOwnRedis } from '../../support/own-servers.ts';
import { proveTalk, startTalk, type Talk } from '../../support/talk.ts';
import { untilSaid } from './fault.ts';

/** What a fault of live sessions has to work with. */
type SessionScene = { readonly fleet: Fleet; readonly redis: Redis; readonly talk: Talk };
export type SessionFault = {
  readonly name: string;
  readonly strike: (scene: SessionScene) => Promise<void>;
};

/** Bytes that occur in only one kind of packet to the database. */
const insertMessages = 'INSERT INTO chat_messages (';
const away = 'Redis is away';
const back = 'Redis is back';

async function killedAndBack({ fleet, redis, talk }: SessionScene): Promise<void> {
  await talk.more(40);
  await untilSaid(fleet, away, () => redis.kill());
  await talk.more(40);
  await untilSaid(fleet, back, () => redis.start());
  await talk.more(40);
}

async function killedInSync({ fleet, talk }: SessionScene, hold: () => Promise<void>): Promise<void> {
  await talk.more(40);
  const held = hold();
  void call(fleet.url, 'POST', '/v1/sessions/sync').catch(() => {});
  await held;
  fleet.api.member.signal('SIGKILL');
  await fleet.api.member.ended;
  fleet.network.database.cut();
  await fleet.network.database.restore();
  await fleet.healthy();
  await talk.more(20);
}

/** As if half a minute had passed. */
async function endLeases(redis: Redis): Promise<void> {
  const script = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 1, id) end";
  await redis.cli('EVAL', script, '1', '{sessions}:leased');
}

/** Redis and the database break, and so do the processes between them, while people talk. */
export const sessionFaults: readonly SessionFault[] = [
  {
    name: 'Redis killed, with a log that is always on disk',
    async strike(scene) {
      await scene.redis.cli('CONFIG', 'SET', 'appendfsync', 'always');
      await killedAndBack(scene);
    },
  },
  { name: 'Redis killed, with a log that is on disk every second', strike: killedAndBack },
  {
    name: 'Redis killed without a log: it comes back empty',
    async strike({ fleet, redis, talk }) {
      await redis.cli('CONFIG', 'SET', 'appendonly', 'no');
      await talk.more(40);
      await untilSaid(fleet, back, () => redis.wipe());
      await talk.more(40);
    },
  },
  {
    name: 'Redis stopped and started again',
    async strike({ fleet, redis, talk }) {
      await untilSaid(fleet, away, () => redis.stop());
      await talk.more(40);
      await untilSaid(fleet, back, () => redis.start());
    },
  },
  {
    name: 'Redis loses everything while nobody notices (FLUSHALL)',
    async strike({ fleet, redis, talk }) {
      await call(fleet.url, 'POST', '/v1/sessions/sync');
      await redis.cli('FLUSHALL');
      await talk.more(60);
    },
  },
  {
    name: 'Redis frozen: it takes connections and answers nothing',
    async strike({ fleet, redis, talk }) {
      await untilSaid(fleet, away, () => redis.cli('CLIENT', 'PAUSE', '6000', 'ALL'));
      await untilSaid(fleet, back, () => talk.more(30));
      await talk.more(30);
    },
  },
  {
    name: 'the network to Redis falls silent',
    async strike({ fleet, talk }) {
      await untilSaid(fleet, away, () => fleet.network.redis.silence('up', 'down'));
      await talk.more(30);
      await untilSaid(fleet, back, () => fleet.network.redis.restore());
    },
  },
  {
    name: 'answers of Redis are lost: nobody knows what it did',
    async strike({ fleet, talk }) {
      for (let i = 0; i < 3; i++) {
        await untilSaid(fleet, away, () => fleet.network.redis.silence('down'));
        await untilSaid(fleet, back, () => fleet.network.redis.restore());
        await talk.more(20);
      }
    },
  },
  {
    name: 'Redis is full',
    async strike({ fleet, redis, talk }) {
      await untilSaid(fleet, 'Redis is full', () => redis.cli('CONFIG', 'SET', 'maxmemory', '1'));
      await talk.more(60);
      // What it holds can leave it all the same, and sessions can end.
      expect((await call(fleet.url, 'POST', '/v1/sessions/sync')).status).toBe(200);
      await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
      await talk.more(40);
    },
  },
  {
    name: 'Redis becomes a replica and refuses writes',
    async strike({ fleet, redis, talk }) {
      await untilSaid(fleet, away, () => redis.cli('REPLICAOF', '127.0.0.1', '1'));
      await talk.more(40);
      await untilSaid(fleet, back, () => redis.cli('REPLICAOF', 'NO', 'ONE'));
      await talk.more(40);
    },
  },
  {
    name: 'failover to a replica that lags behind',
    async strike({ fleet, redis, talk }) {
      const other = (await startOwnRedis()).redis;
      try {
        await talk.more(20);
        await copyAll(redis, other);
        await other.cli('CONFIG', 'SET', 'requirepass', new URL(redis.url).password);
        // These it never hears of.
        await talk.more(40);
        fleet.pointRedisAt(other.url);
        await untilSaid(fleet, back, () => fleet.network.redis.cut());
        await talk.more(40);
        // And back, to one that has missed what came since.
        fleet.pointRedisAt(redis.url);
        await untilSaid(fleet, back, () => fleet.network.redis.cut());
        await talk.more(20);
      } finally {
        fleet.pointRedisAt(redis.url);
        await other.dispose();
      }
    },
  },
  {
    name: 'the wall clock of an API jumps three hours ahead and back',
    async strike({ fleet, talk }) {
      const fixture = fileURLToPath(new URL('../../fixtures/clock-jump.ts', import.meta.url));
      const other = await fleet.start('api', { NODE_OPTIONS: `--import ${fixture}` });
      const own = startTalk({ url: other.url, stream: `jump${Date.now()}`, people: 3, length: 20, pauseMs: 20 });
      for (let jump = 0; jump < 4; jump++) {
        await own.more(15);
        await untilSaid(fleet, 'clock jumped', () => other.signal('SIGUSR2'));
      }
      await own.stop();
      await call(other.url, 'POST', '/v1/sessions/sync');
      const { said, ...proof } = await proveTalk(fleet, own);
      expect(said).toBeGreaterThan(50);
      expect(own.strange).toEqual([]);
      expect(proof).toEqual({ lost: [], double: [], disordered: [], miscounted: [], wrongEvents: [] });
      expect(await other.stop()).toBe(0);
      await talk.more(5);
    },
  },
  {
    name: 'database away while people talk',
    async strike({ fleet, talk }) {
      await fleet.network.database.refuse();
      const before = talk.answered;
      await delay(4_000);
      expect(talk.answered).toBeGreaterThan(before);
      await fleet.network.database.restore();
      await talk.more(40);
    },
  },
  {
    name: 'a sync killed before its commit',
    strike: (scene) => killedInSync(scene, () => scene.fleet.network.database.holdAt('up', insertMessages)),
  },
  {
    name: 'a sync killed after its commit, before Redis knows',
    strike: (scene) => killedInSync(scene, () => scene.fleet.network.database.loseAnswerTo(insertMessages)),
  },
  {
    name: 'two that sync the same, one stopped while its lease runs out',
    async strike({ fleet, redis, talk }) {
      const other = await fleet.start('api');
      await talk.more(40);
      const held = fleet.network.database.holdAt('up', insertMessages);
      void call(other.url, 'POST', '/v1/sessions/sync').catch(() => {});
      void call(fleet.url, 'POST', '/v1/sessions/sync').catch(() => {});
      await held;
      other.signal('SIGSTOP');
      await endLeases(redis);
      fleet.network.database.cut();
      await fleet.network.database.restore();
      await talk.more(60);
      await call(fleet.url, 'POST', '/v1/sessions/sync');
      other.signal('SIGCONT');
      await talk.more(20);
      expect(await other.stop()).toBe(0);
    },
  },
  {
    name: 'an API killed between Redis and its answer',
    async strike({ fleet, talk }) {
      for (let i = 0; i < 3; i++) {
        await talk.more(20);
        fleet.network.redis.silence('down');
        await delay(50);
        fleet.api.member.signal('SIGKILL');
        await fleet.api.member.ended;
        await fleet.network.redis.restore();
        fleet.network.redis.cut();
        await fleet.healthy();
      }
      await talk.more(20);
    },
  },
  {
    name: 'an API killed while sessions end',
    async strike({ fleet, talk }) {
      for (const step of [insertMessages, 'INSERT INTO conversation_events (', "state = 'ended'"]) {
        const held = fleet.network.database.loseAnswerTo(step);
        await held;
        fleet.api.member.signal('SIGKILL');
        await fleet.api.member.ended;
        fleet.network.database.cut();
        await fleet.network.database.restore();
        await fleet.healthy();
        await talk.more(20);
      }
    },
  },
  {
    name: 'an API told to stop while people talk',
    async strike({ fleet, talk }) {
      for (let i = 0; i < 2; i++) {
        await talk.more(30);
        expect(await fleet.restart(fleet.api)).toBe(0);
      }
      await talk.more(20);
    },
  },
  {
    name: 'what is synced expires at once',
    async strike({ fleet, redis, talk }) {
      for (let i = 0; i < 4; i++) {
        await talk.more(20);
        await call(fleet.url, 'POST', '/v1/sessions/sync');
        await expireSynced(redis);
      }
      await talk.more(20);
    },
  },
  {
    name: 'Redis and the database lost, one after the other',
    async strike({ fleet, redis, talk }) {
      await untilSaid(fleet, away, () => redis.kill());
      await talk.more(20);
      await fleet.servers.database.kill();
      await delay(1_000);
      await fleet.servers.database.start();
      await untilSaid(fleet, back, () => redis.start());
      await talk.more(40);
    },
  },
];

/** What a replica has at this moment. */
async function copyAll(from: Redis, to: Redis): Promise<void> {
  const [source, target] = [new Client(from.url), new Client(to.url)];
  for (const key of await source.keys('*')) {
    const [value, ttl] = await Promise.all([source.dumpBuffer(key), source.pttl(key)]);
    if (value !== null) await target.restore(key, Math.max(0, ttl), value);
  }
  source.disconnect();
  target.disconnect();
}

/** As if SESSION_TTL_MINUTES had passed: every key that may expire is gone. */
async function expireSynced(redis: Redis): Promise<void> {
  const script =
    "for _, key in ipairs(redis.call('KEYS', 'session:*')) do " +
    "if redis.call('PTTL', key) > 0 then redis.call('DEL', key) end end";
  await redis.cli('EVAL', script, '0');
}

/** Waits until nothing is pending. */
export async function untilSynced(fleet: Fleet): Promise<void> {
  await vi.waitFor(
    async () => {
      expect((await call(fleet.url, 'POST', '/v1/sessions/sync')).status).toBe(200);
      const open = await rows(fleet.space.database, "SELECT 1 FROM chat_sessions WHERE state = 'ending' LIMIT 1");
      expect(open).toEqual([]);
    },
    { timeout: 90_000, interval: 250 },
  );
}
