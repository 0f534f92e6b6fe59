import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { findServers } from '../../scripts/servers/index.ts';
import { call, conversation, post } from '../support/client.ts';
import { runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { createProxy } from '../support/proxy.ts';
import { startTlsServers, type TlsServers } from '../support/tls-servers.ts';

/** With TLS, everything works as without it, and nobody talks to a server that cannot prove who it is. */

let servers: TlsServers;
let space: Namespace;
let env: Record<string, string>;
beforeAll(async () => {
  servers = await startTlsServers(await howServersStart());
  space = await createNamespace(servers.plain, {}, { ownUser: true });
  const user = new URL(space.env['DATABASE_URL'] ?? '').username;
  await space.database.query(`ALTER USER '${user}'@'%' REQUIRE SSL`);
  const own = new URL(servers.urls.database);
  own.username = own.password = user;
  own.pathname = `/${user}`;
  env = {
    ...space.env,
    CA_FILE: servers.caFile,
    DATABASE_URL: own.href,
    RABBITMQ_URL: servers.urls.rabbitmq,
    REDIS_URL: servers.urls.redis,
  };
});
afterAll(async () => {
  await space.dispose();
  await servers[Symbol.asyncDispose]();
});

/** As the other servers of this run. */
async function howServersStart(): Promise<'docker' | 'private'> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-how-'));
  const { redis } = await findServers(['redis'], { folder, volumes: null, say: () => {}, ignoreNamed: true });
  await redis.server.dispose();
  await rm(folder, { recursive: true, force: true });
  return redis.how === 'docker' ? 'docker' : 'private';
}

test('a conversation goes its whole way, and a session its own, over TLS alone', async () => {
  const [api, worker] = await Promise.all([startMember('api', env), startMember('worker', env)]);
  const body = conversation();
  expect((await post(api.url, body)).status).toBe(202);
  const status = () => call(api.url, 'GET', `/v1/conversations/${body.conversation_id}`);
  await vi.waitFor(async () => expect((await status()).body.status).toBe('PROCESSED'), { timeout: 30_000 });
  const session = { session_id: 'session_tls', user_id: 'user_1', bot_id: 'b', bot_type: 'TALK', bot_name: 'Pika' };
  expect((await call(api.url, 'POST', '/v1/sessions', session)).status).toBe(201);
  const { body: detail } = await call(api.url, 'GET', '/health/detailed');
  expect(detail).toMatchObject({ status: 'ready' });
  expect(await Promise.all([api.stop(), worker.stop()])).toEqual([0, 0]);
  expect([...api.lines, ...worker.lines].filter((line) => /warning/i.test(line))).toEqual([]);
});

test('broker and Redis may be named by an address that their certificate contains', async () => {
  const byNumber = (name: string) => [name, env[name]?.replace('@localhost:', '@127.0.0.1:')];
  const api = await startMember('api', { ...env, ...Object.fromEntries(['RABBITMQ_URL', 'REDIS_URL'].map(byNumber)) });
  expect((await post(api.url, conversation())).status).toBe(202);
  await vi.waitFor(async () => expect((await call(api.url, 'GET', '/readyz')).body.status).toBe('ready'));
  expect(await api.stop()).toBe(0);
});

test('the doctor tries all three', async () => {
  const untried = (findings: Finding[]) => findings.filter(({ found }) => found === 'cannot be used');
  expect(untried(await doctor(env))).toEqual([]);
  const { CA_FILE: _, ...untrusting } = env;
  const found = untried(await doctor(untrusting));
  expect(found.map(({ check }) => check)).toEqual(['database', 'broker', 'redis']);
  for (const { advice } of found) expect(advice).toMatch(/certificate.*CA_FILE/);
});

type Finding = { readonly check: string; readonly found: string; readonly advice?: string };
async function doctor(given: Record<string, string>): Promise<Finding[]> {
  return JSON.parse((await runCommand(['doctor', '--json'], given)).output).findings;
}

describe('a server that cannot prove who it is', () => {
  const refused = (command: string[], change: Record<string, string>) => runCommand(command, { ...env, ...change });

  test('by its authority: nothing is sent to it, the start says why and what to do, and does not wait', async () => {
    const { CA_FILE: _, ...untrusting } = env;
    const { code, output } = await runCommand(['migrate'], untrusting);
    expect({ code, output }).toMatchObject({ code: 78, output: expect.stringMatching(/not accepted.*CA_FILE/) });
    const withoutTls = space.env['DATABASE_URL'] ?? '';
    await space.database.query(`ALTER USER '${new URL(withoutTls).username}'@'%' REQUIRE NONE`);
    for (const command of [['worker'], ['dead', 'list']])
      expect(await runCommand(command, { ...untrusting, DATABASE_URL: withoutTls })).toMatchObject({
        code: expect.toSatisfy((given) => given !== 0),
        output: expect.stringMatching(/broker at localhost:\d+: its certificate is not accepted.*CA_FILE/),
      });
  });

  test('by its name: the address of a database, and a host that its certificate does not contain', async () => {
    const elsewhere = (name: string, host: string) => ({
      [name]: env[name]?.replace('@localhost:', `@${host}:`) ?? '',
    });
    expect(await refused(['migrate'], elsewhere('DATABASE_URL', '127.0.0.1'))).toMatchObject({
      code: 78,
      output: expect.stringContaining('name the host instead of its address'),
    });
    expect(await refused(['dead', 'list'], elsewhere('RABBITMQ_URL', '127.0.0.2'))).toMatchObject({
      code: expect.toSatisfy((given) => given !== 0),
      output: expect.stringMatching(/altnames.*CA_FILE|ECONNREFUSED/),
    });
  });

  test('a database without TLS is not talked to', async () => {
    // Wherever it is, it is reached by a name.
    const proxy = await createProxy(new URL(inject('databaseUrl')));
    onTestFinished(() => proxy.close());
    const plain = new URL(proxy.through(inject('databaseUrl')));
    plain.hostname = 'localhost';
    plain.searchParams.set('tls', 'true');
    expect(await refused(['migrate'], { DATABASE_URL: plain.href })).toMatchObject({
      code: 78,
      output: expect.stringMatching(/it has no TLS|not accepted/),
    });
  });
});
