import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { call } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

let space: Namespace;
let api: Member;
let worker: Member;
let folder: string;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
  folder = await mkdtemp(join(tmpdir(), 'afterword-load-'));
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await rm(folder, { recursive: true });
  await space.dispose();
});

const load = (...args: string[]) => runCommand(['load', '--url', api.url, '--run-time', '3s', ...args], {});
/** The report is the line that is JSON; the live view goes to stderr. */
const reportOf = (output: string) => JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '{}');

test('users submit real conversations and look at them; what was accepted is there', async () => {
  const html = join(folder, 'load.html');
  const { code, output } = await load('--users', '20', '--think', '0s..1s', '--json', '--html', html);
  expect(code).toBe(0);
  expect(output).toMatch(/closed loop, 20 users at 10 per second for 3 s/);
  expect(output).toMatch(/ users +\d+\.\d\/s +p50 /);
  const { totals, samples, exceeded } = reportOf(output);
  expect(totals.submit.requests).toBeGreaterThan(10);
  expect(totals.status.requests).toBeGreaterThan(0);
  expect(totals.all.errors).toEqual([]);
  expect(totals.all.latency.p99).toBeGreaterThan(0);
  expect(samples.length).toBeGreaterThan(0);
  expect(exceeded).toEqual([]);
  const { body } = await call(api.url, 'GET', '/v1/conversations?limit=200');
  expect(body.conversations.length).toBe(Math.min(200, totals.submit.requests));
  expect(await readFile(html, 'utf8')).toMatch(/<svg[\s\S]*<svg[\s\S]*<svg/);
});

test('open loop: the rate is the one that was asked for', async () => {
  const { output } = await load('--rate', '100', '--json', '--mix', 'submit=1,status=1');
  expect(output).toContain('open loop, 100 requests per second for 3 s');
  const { totals } = reportOf(output);
  expect(totals.all.requests).toBeGreaterThan(200);
  expect(totals.all.requests).toBeLessThan(400);
  // Those who have submitted something read it.
  expect(totals.status.requests).toBeGreaterThan(0);
  expect(totals.all.errors).toEqual([]);
});

test('a limit that is passed is exit code 1, and says what it was', async () => {
  const { code, output } = await load(
    '--users',
    '5',
    '--think',
    '0s',
    '--fail-if',
    'p50>0.001ms',
    '--fail-if',
    'max>60s',
  );
  expect(code).toBe(1);
  expect(output).toMatch(/FAIL +p50>0\.001ms: \d/);
  expect(output).not.toMatch(/FAIL +max/);
});

test('a run in which nothing is answered as expected fails, whatever the thresholds', async () => {
  const refusing = createServer((request, answer) => {
    answer.statusCode = request.url === '/healthz' ? 200 : 503;
    answer.end('{"code":"overloaded"}');
  });
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
  const { code, output } = await runCommand(['load', '--url', url, '--run-time', '1s', '--json'], {});
  expect(code).toBe(1);
  expect(output).toMatch(/ users .* \d+ × 503 overloaded/);
  expect(reportOf(output)).toMatchObject({
    totals: { all: { errors: [{ reason: '503 overloaded', count: expect.any(Number) }] } },
    exceeded: ['no request was answered as expected'],
  });
  refusing.closeAllConnections();
  refusing.close();
});

test.each([
  [['--url', 'http://192.0.2.1:3000'], 2, 'is not this machine: add --i-own-this-host'],
  [['--url', 'http://127.0.0.1:1'], 1, 'no API answers at http://127.0.0.1:1'],
  [['--fail-if', 'p99'], 2, '--fail-if p99 is not a threshold'],
  [['--fail-if', 'errors>200%'], 2, 'is not a threshold'],
  [['--rate', '5', '--users', '3'], 2, '--users does not go with --rate'],
  [['--run-time', '0s'], 2, 'must be a duration from 1s to 24d'],
  [['--run-time', '40d'], 2, 'must be a duration from 1s to 24d'],
  [['--html', '/'], 2, '--html / cannot be written (EISDIR)'],
  [['--url', 'banana'], 2, '--url banana is not an HTTP address'],
  [['--mix', 'status=1'], 2, 'must submit something'],
  [['--think', '5s..1s'], 2, 'must be a duration or a range'],
  [['--think', '5s-1s'], 2, 'must be a duration or a range'],
  [['--profile', 'party'], 2, 'Allowed choices are ramp, stress, spike, steady, soak'],
])('%j is refused with what to do', async (args, code, text) => {
  expect(await load(...args)).toMatchObject({ code, output: expect.stringContaining(text) });
});
