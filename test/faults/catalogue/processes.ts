import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';
import { post, rows } from '../../support/client.ts';
import type { Fleet } from '../../support/fleet.ts';
import { runCommand, startMember } from '../../support/member.ts';
import { fillOld, retentionEverySecond } from '../../support/old-events.ts';
import { createProxy, type TcpProxy } from '../../support/proxy.ts';
import { type Body, realBody } from '../../support/traffic.ts';
import { amqp, type Fault, sql, untilSaid } from './fault.ts';

/** Processes that die at the worst moments, and processes that are told to stop. */
export const processFaults: readonly Fault[] = [
  {
    name: 'workers killed in mid-scoring',
    async strike({ fleet, traffic, stream, whileBroken }) {
      const slow = bodies(stream, 'slow', 16).map((body) => ({ ...body, metadata: { act: 'burn', ms: 250 } }));
      await Promise.all(slow.map((body) => traffic.send(body)));
      await vi.waitFor(async () => expect(await processedOf(fleet, `${stream}_slow`)).toBeGreaterThan(1), {
        timeout: 20_000,
        interval: 20,
      });
      for (const worker of fleet.workers) worker.member.signal('SIGKILL');
      await whileBroken();
    },
  },
  {
    name: 'a worker killed between commit and ack',
    async strike({ fleet, whileBroken }) {
      await using own = await ownNetwork(fleet);
      const victim = await fleet.start('worker', own.env, { mayDie: true });
      await own.broker.holdAt('up', amqp.ack);
      victim.signal('SIGKILL');
      await victim.ended;
      await whileBroken();
    },
  },
  {
    name: 'an API killed between commit and publish',
    async strike({ fleet, traffic, stream, whileBroken }) {
      await using own = await ownNetwork(fleet);
      const victim = await fleet.start('api', own.env, { mayDie: true });
      await ready(victim.url);
      const held = own.broker.holdAt('up', amqp.publish);
      await Promise.all(bodies(stream, 'unpublished', 20).map((body) => traffic.send(body, victim.url)));
      await held;
      victim.signal('SIGKILL');
      await whileBroken();
    },
  },
  {
    name: 'an API killed between publish and confirm mark',
    async strike({ fleet, traffic, stream, whileBroken }) {
      await using own = await ownNetwork(fleet);
      const victim = await fleet.start('api', own.env, { mayDie: true });
      await ready(victim.url);
      const held = own.broker.holdAt('down', amqp.ack);
      await Promise.all(bodies(stream, 'unmarked', 20).map((body) => traffic.send(body, victim.url)));
      await held;
      victim.signal('SIGKILL');
      await whileBroken();
    },
  },
  {
    name: 'an API killed with accepts on their way to the database',
    async strike({ fleet, traffic, stream, whileBroken }) {
      await using own = await ownNetwork(fleet);
      const victim = await fleet.start('api', own.env, { mayDie: true });
      const held = own.database.holdAt('up', sql.insertEvents);
      const sends = bodies(stream, 'unstored', 30).map((body) => traffic.send(body, victim.url));
      await held;
      victim.signal('SIGKILL');
      await whileBroken();
      await Promise.all(sends);
    },
  },
  {
    name: 'an API killed with accepts stored and not answered',
    async strike({ fleet, traffic, stream, whileBroken }) {
      await using own = await ownNetwork(fleet);
      const victim = await fleet.start('api', own.env, { mayDie: true });
      const lost = own.database.loseAnswerTo(sql.insertEvents);
      const sends = bodies(stream, 'unanswered', 30).map((body) => traffic.send(body, victim.url));
      await lost;
      fleet.api.member.signal('SIGKILL');
      victim.signal('SIGKILL');
      await whileBroken();
      await Promise.all(sends);
    },
  },
  {
    name: 'a relay killed in the middle of a claim',
    async strike({ fleet, traffic, whileBroken }) {
      await using own = await ownNetwork(fleet);
      // No process can publish until events are due; then only the victim has a broker.
      await fleet.network.broker.refuse();
      await traffic.more(30);
      await vi.waitFor(async () => expect(await dueNow(fleet)).toBeGreaterThan(5), { timeout: 20_000, interval: 50 });
      const held = own.database.holdAt('up', 'UPDATE conversation_events FORCE INDEX (PRIMARY)');
      const victim = await fleet.start('api', own.env, { mayDie: true });
      await held;
      victim.signal('SIGKILL');
      await whileBroken();
      await fleet.network.broker.restore();
    },
  },
  {
    name: 'rolling restart of all roles',
    async strike({ fleet, traffic, whileBroken }) {
      for (const post of [...fleet.workers, fleet.api]) {
        expect(await fleet.restart(post)).toBe(0);
        await traffic.more(10);
      }
      await whileBroken();
    },
  },
  {
    name: 'a second SIGTERM in the drain',
    async strike({ fleet, traffic, stream }) {
      const slow = bodies(stream, 'stuck', 4).map((body) => ({ ...body, metadata: { act: 'burn', ms: 1_500 } }));
      await Promise.all(slow.map((body) => traffic.send(body)));
      const victims = fleet.workers.map((worker) => worker.member);
      for (const victim of victims) victim.signal('SIGTERM');
      await vi.waitFor(
        () => expect(victims.every((v) => v.lines.some((line) => line.includes('"draining"')))).toBe(true),
        {
          timeout: 10_000,
        },
      );
      for (const victim of victims) victim.signal('SIGTERM');
      // Ends at once with 143, unless it had nothing left to finish and has already ended with 0, or is about to.
      for (const victim of victims) expect([0, 143, 'SIGTERM']).toContain(await victim.ended);
    },
  },
  {
    name: 'a worker out of memory drains and ends',
    async strike({ fleet, whileBroken }) {
      const limit = { LEAK_KIB: '4096', MEMORY_SOFT_LIMIT: '0', MEMORY_HARD_LIMIT: '256M' };
      const victim = await fleet.start('worker', limit, { mayDie: true });
      await whileBroken();
      expect(await victim.ended).toBe(1);
      expect(victim.lines.join('\n')).toContain('out of memory soon: draining');
    },
  },
  {
    name: 'a worker short of memory pauses, replaces its threads and goes on',
    async strike({ fleet, whileBroken }) {
      const limit = { LEAK_KIB: '4096', MEMORY_SOFT_LIMIT: '256M', MEMORY_HARD_LIMIT: '0', MALLOC_ARENA_MAX: '2' };
      const victim = await fleet.start('worker', limit);
      await whileBroken();
      await vi.waitFor(() => expect(victim.lines.join('\n')).toContain('memory was given back'), {
        timeout: 60_000,
        interval: 50,
      });
      expect(await victim.stop()).toBe(0);
    },
  },
  {
    name: 'the collector of traces hangs',
    async strike({ fleet, traffic, stream, whileBroken }) {
      const collector = createServer();
      let requests = 0;
      collector.on('request', () => requests++); // and never an answer
      await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
      const { port } = collector.address() as AddressInfo;
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_BSP_SCHEDULE_DELAY: '50' };
      const [api, worker] = await Promise.all([fleet.start('api', env), fleet.start('worker', env)]);
      await Promise.all(bodies(stream, 'traced', 50).map((body) => traffic.send(body, api.url)));
      await whileBroken();
      await vi.waitFor(() => expect(requests).toBeGreaterThan(1), { timeout: 20_000, interval: 50 });
      expect(await Promise.all([api.stop(), worker.stop()])).toEqual([0, 0]);
      collector.closeAllConnections();
      collector.close();
    },
  },
  {
    name: 'wall clock jumps three hours ahead and back',
    async strike({ fleet, traffic, stream, whileBroken }) {
      const clock = {
        NODE_OPTIONS: `--import ${fileURLToPath(new URL('../../fixtures/clock-jump.ts', import.meta.url))}`,
      };
      const [api, worker] = await Promise.all([fleet.start('api', clock), fleet.start('worker', clock)]);
      for (let jump = 0; jump < 3; jump++) {
        for (const member of [api, worker]) await untilSaid(fleet, 'clock jumped', () => member.signal('SIGUSR2'));
        await Promise.all(bodies(stream, `jump${jump}`, 15).map((body) => traffic.send(body, api.url)));
        await traffic.more(10);
      }
      await whileBroken();
      for (const member of [api, worker]) expect(await member.stop()).toBe(0);
    },
  },
  {
    name: 'migrations started by several processes at once',
    async strike({ fleet, whileBroken }) {
      const [migrated] = await Promise.all([
        Promise.all(Array.from({ length: 4 }, () => runCommand(['migrate'], fleet.space.env))),
        whileBroken(),
      ]);
      expect(migrated.map((m) => m.code)).toEqual([0, 0, 0, 0]);
    },
  },
  {
    name: 'the leader of maintenance killed in the middle of a removal',
    async strike({ fleet, whileBroken }) {
      const { database } = fleet.space;
      await fillOld(database, 5);
      const left = async () =>
        (await rows(database, "SELECT 1 FROM conversation_events WHERE user_id = 'user_old'")).length;
      const leader = await fleet.start('api', retentionEverySecond, { mayDie: true });
      await vi.waitFor(async () => expect(await left()).toBeLessThan(5_000), { timeout: 30_000, interval: 20 });
      leader.signal('SIGKILL');
      await leader.ended;
      expect(await left()).toBeGreaterThan(0);
      await whileBroken();
      const next = await fleet.start('api', retentionEverySecond);
      await vi.waitFor(async () => expect(await left()).toBe(0), { timeout: 60_000, interval: 100 });
      expect(await next.stop()).toBe(0);
    },
  },
  {
    name: 'a rescore killed in the middle of its apply',
    async strike({ fleet, whileBroken }) {
      const { database, env } = fleet.space;
      const module = fileURLToPath(new URL('../../fixtures/second-scorer.ts', import.meta.url));
      const rescore = ['rescore', '--scorer', module, '--limit', '200', '--json'];
      // Nothing below zero: the sums of this suite do not know the floor.
      const scored = await runCommand(rescore, { ...env, SECOND_LOWEST: '1' });
      expect(scored.code, scored.output).toBe(0);
      const [run] = await rows<{ id: number; last: string }>(
        database,
        `SELECT rescore_id AS id, MAX(user_id) AS last FROM rescored_events GROUP BY rescore_id
         ORDER BY rescore_id DESC LIMIT 1`,
      );
      // Held at the last user, with the others applied: events of that user that are settled meanwhile wait as well.
      const holder = await database.getConnection();
      await holder.query('START TRANSACTION');
      await holder.query('SELECT 1 FROM friendship_status WHERE user_id = ? FOR UPDATE', [run?.last]);
      const apply = ['--run', String(run?.id), '--apply'];
      const applying = await startMember('rescore', env, { args: apply, waitsForReady: false });
      const left = () =>
        rows(database, 'SELECT DISTINCT user_id FROM rescored_events WHERE rescore_id = ? AND applied_at IS NULL', [
          run?.id,
        ]);
      await vi.waitFor(async () => expect(await left()).toHaveLength(1), { timeout: 60_000, interval: 20 });
      applying.signal('SIGKILL');
      await applying.ended;
      await whileBroken();
      await holder.query('ROLLBACK');
      holder.release();
      // The database may not have noticed yet that the lock of the first one is free.
      await vi.waitFor(async () => expect((await runCommand(['rescore', ...apply], env)).code).toBe(0), {
        timeout: 60_000,
      });
      expect(await left()).toEqual([]);
    },
  },
  {
    name: 'one body by 100 clients at once, with time-outs and repeats',
    async strike({ fleet, traffic, stream, whileBroken }) {
      const [body] = bodies(stream, 'same', 1) as [Body];
      const impatient = Array.from({ length: 50 }, () =>
        post(fleet.url, body, {}, { timeoutMs: 20 }).catch(() => null),
      );
      const patient = Array.from({ length: 50 }, () => traffic.send(body));
      await Promise.all([...impatient, ...patient, whileBroken()]);
      expect(
        await rows(fleet.space.database, 'SELECT 1 FROM conversation_events WHERE conversation_id = ?', [
          body.conversation_id,
        ]),
      ).toHaveLength(1);
    },
  },
];

function bodies(stream: string, name: string, n: number): Body[] {
  return Array.from({ length: n }, (_, i) => {
    const body = realBody(stream, i, 4);
    return { ...body, conversation_id: `${stream}_${name}_${i}` };
  });
}

async function processedOf(fleet: Fleet, prefix: string): Promise<number> {
  const found = await rows(
    fleet.space.database,
    "SELECT 1 FROM conversation_events WHERE status = 'PROCESSED' AND conversation_id LIKE ?",
    [`${prefix}\\_%`],
  );
  return found.length;
}

async function dueNow(fleet: Fleet): Promise<number> {
  const found = await rows(
    fleet.space.database,
    'SELECT 1 FROM conversation_events WHERE next_attempt_at <= UTC_TIMESTAMP(3)',
  );
  return found.length;
}

async function ready(url: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const answer = await fetch(`${url}/readyz`);
      if (((await answer.json()) as { broker: string }).broker !== 'up') throw new Error('no broker yet');
    },
    { timeout: 20_000, interval: 50 },
  );
}

/** Proxies for a single process. */
async function ownNetwork(
  fleet: Fleet,
): Promise<
  { readonly database: TcpProxy; readonly broker: TcpProxy; readonly env: Record<string, string> } & AsyncDisposable
> {
  const { DATABASE_URL = '', RABBITMQ_URL = '' } = fleet.space.env;
  const database = await createProxy(new URL(DATABASE_URL));
  const broker = await createProxy(new URL(RABBITMQ_URL));
  return {
    database,
    broker,
    env: { DATABASE_URL: database.through(DATABASE_URL), RABBITMQ_URL: `${broker.through(RABBITMQ_URL)}?heartbeat=60` },
    async [Symbol.asyncDispose]() {
      await Promise.all([database.close(), broker.close()]);
    },
  };
}
