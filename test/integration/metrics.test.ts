import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { call, conversation, post } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let worker: Member;
let workerUrl: string;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
  const port = await freePort();
  worker = await startMember('worker', { ...space.env, METRICS_PORT: String(port) });
  workerUrl = `http://127.0.0.1:${port}`;
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const scrape = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=/);
  return answer.text();
};
/** The value of a series; NaN if it is not there. */
const value = (text: string, series: string) =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.split(' ')
      .at(-1) ?? Number.NaN,
  );

/** The first of `count` ports in a row that are free. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort();
    const wanted = Array.from({ length: count }, (_, i) => first + i);
    const free = await Promise.all(wanted.map((port) => freePort(port)));
    if (free.every((port, i) => port === wanted[i])) return first;
  }
}

test('the road of conversations is counted by those who were there, and nothing says whose they are', async () => {
  const secret = 'a sentence that nobody else says';
  const bodies = Array.from({ length: 20 }, () =>
    conversation({ conversation_log: [{ speaker: 'user', text: secret }], agent_tag: 'a topic of one user' }),
  );
  for (const body of bodies) await post(api.url, body);
  await post(api.url, bodies[0] ?? {});
  expect((await call(api.url, 'POST', '/v1/conversations/end', { ...bodies[0], end_time: 'now' })).status).toBe(422);
  await vi.waitFor(async () => {
    expect(value(await scrape(workerUrl), 'afterword_deliveries_total{result="processed"}')).toBe(20);
  }, 10_000);

  const ofWorker = await scrape(workerUrl);
  expect(value(ofWorker, 'afterword_end_to_end_seconds_count')).toBe(20);
  expect(value(ofWorker, 'afterword_step_duration_seconds_count{step="score"}')).toBe(20);
  expect(value(ofWorker, 'afterword_in_flight')).toBe(0);
  expect(value(ofWorker, 'afterword_broker_sessions_total{link="consume",event="began"}')).toBe(1);

  const ofApi = await scrape(api.url);
  expect(value(ofApi, 'afterword_accepts_total{result="new"}')).toBe(20);
  expect(value(ofApi, 'afterword_accepts_total{result="replay"}')).toBe(1);
  expect(value(ofApi, 'afterword_refusals_total{code="invalid_request"}')).toBe(1);
  expect(value(ofApi, 'afterword_queue_consumers{queue="main"}')).toBeGreaterThan(0);
  expect(value(ofApi, 'afterword_queue_messages{queue="dead"}')).toBe(0);
  expect(value(ofApi, 'afterword_oldest_open_event_age_seconds')).toBe(0);

  for (const text of [ofWorker, ofApi]) {
    expect(text).not.toContain(secret);
    expect(text).not.toContain('a topic of one user');
    for (const { conversation_id, user_id } of bodies) {
      expect(text).not.toContain(conversation_id);
      expect(text).not.toContain(user_id);
    }
  }
});

test('the port of a worker says whether it takes deliveries, and nothing else', async () => {
  expect(await (await fetch(`${workerUrl}/healthz`)).json()).toEqual({ status: 'ok' });
  expect(await (await fetch(`${workerUrl}/readyz`)).json()).toEqual({ status: 'ready' });
  expect((await fetch(`${workerUrl}/`)).status).toBe(404);
  const refused = await fetch(`${workerUrl}/metrics`, { method: 'POST' });
  expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
});

test('a fleet serves all of its members together', async () => {
  const port = await freePorts(4);
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), 'fleet'], {
    env: {
      PATH: process.env['PATH'],
      ...space.env,
      PORT: String(await freePort()),
      METRICS_PORT: String(port),
      WORKER_REPLICAS: '2',
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  await once(child, 'message');
  const text = await scrape(`http://127.0.0.1:${port}`);
  for (const member of ['api', 'worker-1', 'worker-2'])
    expect(value(text, `afterword_member_up{member="${member}"}`)).toBe(1);
  expect(value(text, 'afterword_prefetch{member="worker-2"}')).toBe(10);
  expect(text.match(/^# TYPE process_cpu_seconds_total /gm)).toHaveLength(1);
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

test('a port that is taken stops the start with the reason', async () => {
  const { hostname, port } = new URL(workerUrl);
  const taken = startMember('worker', { ...space.env, METRICS_PORT: port });
  await expect(taken).rejects.toThrow(`METRICS_PORT ${hostname}:${port} cannot be used (EADDRINUSE)`);
});
