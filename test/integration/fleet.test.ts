import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { call, conversation, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Several APIs on one port: one of them may end, and nobody who asks notices. */

let space: Namespace;
let env: Record<string, string>;
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  env = { ...space.env, PORT: String(await freePort()), API_REPLICAS: '2', LOG_LEVEL: 'info' };
});
afterAll(() => space.dispose());

const waitFor = <T>(check: () => T | Promise<T>, timeout = 60_000) => vi.waitFor(check, { timeout, interval: 50 });
const said = (fleet: Member, text: string) => fleet.lines.filter((line) => line.includes(text)).length;
const pidsOf = (fleet: Member, role: string) => {
  const lines = fleet.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  return new Set(lines.filter((line) => line.role === role).map((line) => line.pid));
};

/** Clients that post without a pause, half of them on a new connection each time. */
function startClients(port: string) {
  const agents = [new Agent({ connections: 8 }), new Agent({ connections: 8, pipelining: 0 })];
  const failures: unknown[] = [];
  let [posted, isOver] = [0, false];
  const clients = agents.flatMap((dispatcher) =>
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        try {
          const answer = await request(`http://127.0.0.1:${port}/v1/conversations/end`, {
            method: 'POST',
            dispatcher,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(conversation()),
          });
          await answer.body.dump();
          if (answer.statusCode !== 202) failures.push(answer.statusCode);
          posted++;
        } catch (error) {
          failures.push(error);
        }
        await delay(5);
      }
    }),
  );
  return {
    failures,
    posted: () => posted,
    async stop() {
      isOver = true;
      await Promise.all(clients);
      for (const agent of agents) await agent.close();
    },
  };
}

test('a fleet whose members are restarted one after the other refuses nothing and loses nothing', async () => {
  const fleet = await startMember('fleet', { ...env, WORKER_REPLICAS: '1', DRAIN_MS: '4000' });
  const before = ['api-1', 'api-2', 'worker-1'].map((role) => [...pidsOf(fleet, role)]);
  for (const pids of before) expect(pids).toHaveLength(1);
  const clients = startClients(env['PORT'] ?? '');
  await waitFor(() => expect(clients.posted()).toBeGreaterThan(100));
  const told = await runCommand(['restart'], env);
  expect(told).toMatchObject({ code: 0, output: expect.stringContaining('one after the other') });
  await waitFor(() => expect(said(fleet, 'every member was restarted')).toBe(1));
  const atEnd = clients.posted();
  await waitFor(() => expect(clients.posted()).toBeGreaterThan(atEnd + 100));
  await clients.stop();
  expect(clients.failures).toEqual([]);
  for (const role of ['api-1', 'api-2', 'worker-1']) expect(pidsOf(fleet, role).size).toBe(2);
  await waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: clients.posted() }));
  expect(await fleet.stop()).toBe(0);
  expect(said(fleet, 'member died')).toBe(0);
  expect(await runCommand(['restart'], env)).toMatchObject({ code: 1, output: expect.stringContaining('no fleet') });
});

test('both APIs take requests, and when one is killed the other goes on at the same port', async () => {
  await space.database.query('DELETE FROM conversation_events');
  const fleet = await startMember('fleet', { ...env, WORKER_REPLICAS: '1' });
  const url = `http://127.0.0.1:${env['PORT']}`;
  const members = async () =>
    rows<{ name: string; pid: number }>(
      space.database,
      "SELECT name, pid FROM fleet_members WHERE role = 'api' AND state = 'running'",
    );
  await waitFor(async () => expect((await members()).map(({ name }) => name).sort()).toEqual(['api-1', 'api-2']));
  const clients = startClients(env['PORT'] ?? '');
  await waitFor(() => expect(clients.posted()).toBeGreaterThan(50));
  const [killed] = await members();
  process.kill(killed?.pid ?? 0, 'SIGKILL');
  await waitFor(() => expect(said(fleet, 'member died; restarting')).toBe(1));
  const [failed, posted] = [clients.failures.length, clients.posted()];
  // Those whose connection it had have failed by now; no other does.
  await waitFor(() => expect(clients.posted()).toBeGreaterThan(posted + 200));
  await clients.stop();
  expect(clients.failures.length - failed).toBeLessThanOrEqual(16);
  expect((await call(url, 'GET', '/readyz')).status).toBe(200);
  expect(await fleet.stop()).toBe(0);
});

test('a port that is taken is named', async () => {
  const other = await startMember('api', { ...space.env, PORT: env['PORT'] ?? '' });
  const { code, output } = await runCommand(['fleet'], { ...env, WORKER_REPLICAS: '1' });
  expect(code).not.toBe(0);
  expect(output).toContain(`127.0.0.1:${env['PORT']} is in use`);
  expect(await other.stop()).toBe(0);
});
