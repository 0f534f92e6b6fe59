import { setTimeout as delay } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { expect, vi } from 'vitest';
import { call, rows } from '../../support/client.ts';
import type { Fleet } from '../../support/fleet.ts';
import { createProxy } from '../../support/proxy.ts';
import { serverProcesses } from '../../support/server-processes.ts';
import { type Fault, sql, untilSaid } from './fault.ts';

/** Database outages and errors. Callers get 503 and repeat; scored results are held in memory. */
export const databaseFaults: readonly Fault[] = [
  {
    name: 'database killed during an accept',
    async strike({ fleet, whileBroken }) {
      await fleet.network.database.holdAt('up', sql.insertEvents);
      await fleet.servers.database.kill();
      await whileBroken();
      await fleet.servers.database.start();
      fleet.network.database.cut();
      await fleet.network.database.restore();
    },
  },
  {
    name: 'database killed during a settle',
    async strike({ fleet, whileBroken }) {
      await fleet.network.database.holdAt('up', sql.settle);
      await fleet.servers.database.kill();
      await whileBroken();
      await fleet.servers.database.start();
      fleet.network.database.cut();
      await fleet.network.database.restore();
    },
  },
  {
    name: 'the read replica silent, and then away',
    async strike({ fleet, traffic, whileBroken }) {
      // The database itself, on another way: it is up to date until that way is cut.
      const way = await createProxy(new URL(fleet.servers.database.url));
      const api = await fleet.start('api', { DATABASE_READ_URL: way.through(fleet.space.env['DATABASE_URL'] ?? '') });
      try {
        const [id] = traffic.accepted.keys();
        const answered = async (n: number) => {
          for (let i = 0; i < n; i++) {
            expect((await call(api.url, 'GET', `/v1/conversations/${id}`)).status).toBe(200);
            expect((await call(api.url, 'GET', '/v1/conversations?limit=5')).status).toBe(200);
          }
        };
        const used = async (wanted: string) =>
          vi.waitFor(
            async () =>
              expect((await call(api.url, 'GET', '/metrics')).body).toContain(`afterword_replica_used ${wanted}\n`),
            { timeout: 30_000, interval: 100 },
          );
        await used('1');
        await answered(5);
        way.silence('up', 'down');
        await Promise.all([answered(5), whileBroken()]);
        await used('0');
        await way.refuse();
        await answered(5);
        await way.restore();
        await used('1');
        await answered(5);
      } finally {
        expect(await api.stop()).toBe(0);
        await way.close();
      }
    },
  },
  {
    name: 'the answer to a commit lost',
    async strike({ fleet, traffic, whileBroken }) {
      for (let i = 0; i < 3; i++) {
        await fleet.network.database.loseAnswerTo('COMMIT');
        fleet.network.database.cut();
        await fleet.network.database.restore();
        await traffic.more(10);
      }
      await whileBroken();
    },
  },
  {
    name: 'database and broker restarted while nothing happens',
    async strike({ fleet, traffic, whileBroken }) {
      traffic.pause();
      await vi.waitUntil(async () => (await openEvents(fleet)) === 0, { timeout: 60_000, interval: 100 });
      await Promise.all([fleet.servers.database.stop(), fleet.servers.broker.stop()]);
      await whileBroken();
      await Promise.all([fleet.servers.database.start(), fleet.servers.broker.start()]);
      traffic.resume();
    },
  },
  {
    name: 'database falls silent (half-open connections)',
    async strike({ fleet, whileBroken, traffic }) {
      const before = traffic.repeats;
      fleet.network.database.silence('up', 'down');
      await vi.waitUntil(() => traffic.repeats > before + 20, { timeout: 30_000, interval: 50 });
      await whileBroken();
      await fleet.network.database.restore();
    },
  },
  {
    name: 'database refuses connections',
    async strike({ fleet, whileBroken, traffic, longMs }) {
      const before = traffic.repeats;
      await fleet.network.database.refuse();
      await vi.waitUntil(() => traffic.repeats > before + 20, { timeout: 30_000, interval: 50 });
      await Promise.all([whileBroken(), delay(longMs)]);
      await fleet.network.database.restore();
    },
  },
  {
    name: 'latency and jitter to the database',
    async strike({ fleet, traffic, whileBroken }) {
      fleet.network.database.slow(10, 40);
      await traffic.more(40);
      await whileBroken();
      await fleet.network.database.restore();
    },
  },
  {
    name: 'lock waits that run out',
    async strike({ fleet, traffic, users, whileBroken }) {
      await using hand = await openHand(fleet);
      await hand.connection.query('START TRANSACTION');
      await hand.connection.query('SELECT 1 FROM friendship_status WHERE user_id LIKE ? FOR UPDATE', [users]);
      // Longer than our sessions' innodb_lock_wait_timeout (5 s).
      await untilSaid(fleet, '"code":"DATABASE_LOCKED"', () => traffic.more(20));
      await whileBroken();
      await hand.connection.query('ROLLBACK');
    },
  },
  {
    name: 'a host vanishes while it holds locks',
    async strike({ fleet, traffic, whileBroken }) {
      const user = new URL(fleet.space.env['DATABASE_URL'] ?? '').username;
      const sessions = async () =>
        (await serverProcesses(fleet.space.database)).filter((p) => p.user === user).map((p) => p.id);
      await fleet.network.database.holdAt('up', sql.settle);
      const vanished = await sessions();
      fleet.network.database.vanish();
      await traffic.more(20);
      await whileBroken();
      const left = async () => (await sessions()).filter((id) => vanished.includes(id)).length;
      const before = await left();
      expect(before, 'sessions that the server believes alive').toBeGreaterThan(0);
      // The server ends them because they are idle: MariaDB after 15 s in a transaction, MySQL after a minute.
      await vi.waitUntil(async () => (await left()) < before, { timeout: 90_000, interval: 250 });
      fleet.network.database.cut();
    },
  },
  {
    name: 'deadlocks with somebody else',
    async strike({ fleet, traffic, users, whileBroken }) {
      await using hand = await openHand(fleet);
      // We lock the users and then events; a settle locks its events and then the users.
      const before = fleet.said('"errno":1213');
      let ours = 0;
      while (ours + fleet.said('"errno":1213') === before) {
        await hand.connection.query('START TRANSACTION');
        await hand.connection.query('UPDATE friendship_status SET updated_at = updated_at WHERE user_id LIKE ?', [
          users,
        ]);
        await traffic.more(10);
        await hand.connection
          .query(
            "SELECT 1 FROM conversation_events WHERE status IN ('PENDING', 'PROCESSING') ORDER BY event_id LIMIT 50 " +
              'FOR UPDATE',
          )
          .catch(() => ours++);
        await hand.connection.query('ROLLBACK');
      }
      await traffic.more(10);
      await whileBroken();
    },
  },
  {
    name: 'every connection of the pools held (table locked)',
    async strike({ fleet, whileBroken, traffic }) {
      await using hand = await openHand(fleet);
      const before = traffic.repeats;
      await hand.connection.query('LOCK TABLES conversation_events WRITE');
      await vi.waitUntil(() => traffic.repeats > before + 30, { timeout: 30_000, interval: 50 });
      await whileBroken();
      await hand.connection.query('UNLOCK TABLES');
    },
  },
  {
    name: 'connections killed by the server',
    async strike({ fleet, traffic, whileBroken }) {
      const user = new URL(fleet.space.env['DATABASE_URL'] ?? '').username;
      for (let i = 0; i < 5; i++) {
        const found = (await serverProcesses(fleet.space.database)).filter((p) => p.user === user);
        expect(found.length).toBeGreaterThan(0);
        for (const { id } of found) await fleet.space.database.query(`KILL ${id}`).catch(() => {}); // may have ended
        await traffic.more(10);
      }
      await whileBroken();
    },
  },
  {
    name: 'database read-only',
    async strike({ fleet, traffic, whileBroken }) {
      const before = traffic.repeats;
      await fleet.space.database.query('SET GLOBAL read_only = 1');
      await vi.waitUntil(() => traffic.repeats > before + 20, { timeout: 30_000, interval: 50 });
      await whileBroken();
      await fleet.space.database.query('SET GLOBAL read_only = 0');
    },
  },
  ...(
    [
      // The server's own error, raised in the place where it would occur.
      ['disk full', 1114, 'The table is full'],
      // ProxySQL's, when no server of the host group was available in time.
      ['an error number that only a proxy has', 9001, 'Max connect timeout reached'],
    ] as const
  ).flatMap(([what, errno, text]) =>
    (['INSERT', 'UPDATE'] as const).map(
      (verb): Fault => ({
        name: `${what} at ${verb}`,
        async strike({ fleet, traffic, whileBroken }) {
          const seen = () => (verb === 'INSERT' ? traffic.repeats : fleet.said('cannot be written yet'));
          const before = seen();
          await fleet.space.database.query(
            `CREATE TRIGGER failing BEFORE ${verb} ON conversation_events FOR EACH ROW
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = ${errno}, MESSAGE_TEXT = '${text}'`,
          );
          await vi.waitUntil(() => seen() > before + 2, { timeout: 30_000, interval: 50 });
          await whileBroken();
          await fleet.space.database.query('DROP TRIGGER failing');
        },
      }),
    ),
  ),
  ...(['INSERT', 'UPDATE'] as const).map(
    (right): Fault => ({
      name: `a right that is taken away: ${right}`,
      async strike({ fleet, traffic, whileBroken }) {
        const { pathname, username } = new URL(fleet.space.env['DATABASE_URL'] ?? '');
        const seen = () => (right === 'INSERT' ? traffic.repeats : fleet.said('cannot be written yet'));
        const before = seen();
        const on = `ON ${pathname.slice(1)}.*`;
        await fleet.space.database.query(`REVOKE ${right} ${on} FROM '${username}'@'%'`);
        try {
          // Privileges are looked up when a connection is made.
          fleet.network.database.cut();
          await vi.waitUntil(() => seen() > before + 2, { timeout: 30_000, interval: 50 });
          await whileBroken();
        } finally {
          await fleet.space.database.query(`GRANT ${right} ${on} TO '${username}'@'%'`);
          fleet.network.database.cut();
        }
      },
    }),
  ),
];

async function openEvents(fleet: Fleet): Promise<number> {
  return (
    await rows(fleet.space.database, "SELECT 1 FROM conversation_events WHERE status IN ('PENDING', 'PROCESSING')")
  ).length;
}

/** An administrator's connection that bypasses the proxy. */
async function openHand(fleet: Fleet): Promise<{ readonly connection: mysql.Connection } & AsyncDisposable> {
  const url = new URL(fleet.servers.database.url);
  url.pathname = new URL(fleet.space.env['DATABASE_URL'] ?? '').pathname;
  const connection = await mysql.createConnection(url.href);
  return { connection, [Symbol.asyncDispose]: () => connection.end() };
}
