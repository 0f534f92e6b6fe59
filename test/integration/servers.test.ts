import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';
import { getContainerRuntimeClient } from 'testcontainers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findServers } from '../../scripts/servers/index.ts';

/** The servers that scripts/up starts are for this checkout alone. */

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'afterword-servers-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Ports of this machine on which something listens on every address. */
async function openToAll(): Promise<Set<string>> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const rows = tables.flatMap((table) => table.split('\n').slice(1)).map((row) => row.trim().split(/\s+/));
  const listening = '0A';
  return new Set(rows.flatMap(([, local = '', , state]) => (state === listening && /^0+:/.test(local) ? [local] : [])));
}

test('they listen on this machine only, require a generated password, and grant the rights needed', async () => {
  const before = await openToAll();
  const { database, broker } = await findServers(['database', 'broker'], {
    folder,
    say: () => {},
    ignoreNamed: true,
    volumes: null,
    rights: 'own',
  });
  try {
    expect([...(await openToAll())].filter((port) => !before.has(port))).toEqual([]);

    const url = new URL(database.server.url);
    expect(url.password).toBe((await readFile(join(folder, 'password'), 'utf8')).trim());
    for (const [user, password] of [
      ['root', ''],
      ['afterword', ''],
      ['afterword', 'afterword'],
    ] as const) {
      const login = mysql.createConnection({ host: url.hostname, port: Number(url.port), user, password });
      await expect(login, `${user} with "${password}"`).rejects.toMatchObject({
        code: expect.stringContaining('ACCESS_DENIED'),
      });
    }
    const own = await mysql.createConnection(url.href);
    await own.query('CREATE DATABASE afterword_size_test');
    await own.query('DROP DATABASE afterword_size_test');
    await expect(own.query('CREATE DATABASE other')).rejects.toMatchObject({ code: 'ER_DBACCESS_DENIED_ERROR' });
    await expect(own.query("CREATE USER 'other'@'%'")).rejects.toMatchObject({
      code: 'ER_SPECIFIC_ACCESS_DENIED_ERROR',
    });
    await own.end();

    await (await connect(broker.server.url)).close();
    const guest = new URL(broker.server.url);
    guest.username = guest.password = 'guest';
    await expect(connect(guest.href)).rejects.toThrow(/ACCESS-REFUSED|403/);
  } finally {
    await Promise.all([database.server.dispose(), broker.server.dispose()]);
  }
}, 240_000);

test('a password of the broker that was lost is replaced, and its data stay', async () => {
  const volumes = `afterword-test-${process.pid}`;
  const start = async () => {
    const { broker } = await findServers(['broker'], { folder, say: () => {}, ignoreNamed: true, volumes });
    return broker;
  };
  const first = await start();
  const before = await connect(first.server.url);
  await (await before.createChannel()).assertQueue('kept', { durable: true });
  await before.close();
  await first.server.dispose();
  await rm(join(folder, 'password'));
  const second = await start();
  try {
    expect(new URL(second.server.url).password).not.toBe(new URL(first.server.url).password);
    const after = await connect(second.server.url);
    await (await after.createChannel()).checkQueue('kept');
    await after.close();
    const old = new URL(second.server.url);
    old.password = new URL(first.server.url).password;
    await expect(connect(old.href)).rejects.toThrow(/ACCESS-REFUSED|403/);
  } finally {
    await second.server.dispose();
    if (second.how === 'docker') {
      const { container } = await getContainerRuntimeClient();
      await container.dockerode.getVolume(`${volumes}-broker`).remove();
    }
  }
}, 240_000);
