import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { conversation, rows } from '../support/client.ts';
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
  folder = await mkdtemp(join(tmpdir(), 'afterword-send-'));
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await rm(folder, { recursive: true });
  await space.dispose();
});

const file = async (bodies: unknown[]) => {
  const path = join(folder, `${bodies.length}.ndjson`);
  await writeFile(path, bodies.map((b) => (typeof b === 'string' ? b : JSON.stringify(b))).join('\n'));
  return path;
};
const send = (path: string, ...more: string[]) => runCommand(['send', path, '--url', api.url, ...more], {});

test.each([[], ['--batch']])(
  'send %s: everything accepted and processed is exit code 0, and a second time everything is a replay',
  async (...how) => {
    const path = await file(Array.from({ length: 30 }, () => conversation()));
    const first = await send(path, '--wait', '--json', '--concurrency', '10', ...how);
    expect(first.code).toBe(0);
    expect(JSON.parse(first.output)).toMatchObject({
      posted: 30,
      accepted: 30,
      replayed: 0,
      rejected: {},
      processed: 30,
      failed: 0,
      still_open: 0,
    });
    expect(JSON.parse(first.output).accept_ms.p99).toBeGreaterThan(0);
    const again = await send(path, '--wait', ...how);
    expect(again.code).toBe(0);
    expect(again.output).toMatch(/accepted\s+30 \(30 of them replayed/);
    // They were processed earlier: that time does not belong to this run.
    expect(again.output).toMatch(/accept to processed\s+–/);
  },
);

test.each([[], ['--batch']])(
  'send %s: what is refused is counted by reason, and the rest goes through',
  async (...how) => {
    const { code, output } = await send(
      await file([conversation(), '{"oops', conversation({ user_id: 'x' }), '', conversation()]),
      '--wait',
      '--json',
      ...how,
    );
    expect(code).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      posted: 4,
      accepted: 2,
      processed: 2,
      rejected: {
        '400 invalid_json': { count: 1, lines: [2] },
        '422 invalid_request (/user_id must have 3 to 255 characters)': { count: 1, lines: [3] },
      },
    });
    const shown = await send(
      await file([conversation(), '[]', conversation({ user_id: 'x' }), conversation({ user_id: 'y' })]),
    );
    expect(shown.output).toMatch(/2 × 422 invalid_request \(\/user_id must have 3 to 255 characters\), lines 3, 4/);
    expect(shown.output).toMatch(/1 × 422 invalid_request \(the body must be an object\), line 2/);
  },
);

test.each([
  ['a list', JSON.stringify([conversation()]), "jq -c '.[]'"],
  ['pretty-printed', JSON.stringify(conversation(), null, 2), 'jq -c .'],
])(
  'send: JSON of another shape (%s) is refused before anything is posted, with the command that converts it',
  async (_name, text, jq) => {
    const { code, output } = await send(await file([text]));
    expect(await send(await file([text]), '--batch')).toEqual({
      code,
      output: expect.stringContaining(output.split(' ').at(-1) ?? ''),
    });
    expect(code).toBe(78);
    expect(output).toContain(jq);
  },
);

test('send --batch: what was on the way when the API ended is sent again, and counts once', async () => {
  const own = await startMember('api', space.env);
  const bodies = Array.from({ length: 3_000 }, () => conversation());
  const first = bodies[0]?.conversation_id;
  const path = await file(bodies);
  const port = new URL(own.url).port;
  const sending = runCommand(['send', path, '--url', own.url, '--json', '--batch'], {});
  const stored = 'SELECT 1 FROM conversation_events WHERE conversation_id = ?';
  await vi.waitFor(async () => expect(await rows(space.database, stored, [first])).toHaveLength(1), { interval: 5 });
  own.signal('SIGKILL');
  await own.ended;
  const next = await startMember('api', { ...space.env, PORT: port });
  const { code, output } = await sending;
  expect({ code, ...JSON.parse(output) }).toMatchObject({ code: 0, posted: 3_000, accepted: 3_000 });
  expect(await next.stop()).toBe(0);
});

test('send: a URL with a path, as for an API behind a proxy', async () => {
  const paths: string[] = [];
  const proxy = createServer((incoming, answer) => {
    paths.push(`${incoming.method} ${incoming.url}`);
    incoming.resume().once('end', () => {
      answer.statusCode = incoming.method === 'POST' ? 202 : 200;
      answer.setHeader('Location', '/v1/conversations/any');
      answer.end(
        JSON.stringify({
          status: 'PROCESSED',
          created_at: '2026-01-01T00:00:00Z',
          processed_at: '2026-01-01T00:00:01Z',
        }),
      );
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const base = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const path = await file([conversation()]);
  for (const url of [`${base}/scores/`, `${base}/v1`])
    expect((await runCommand(['send', path, '--wait', '--url', url], {})).code).toBe(0);
  proxy.close();
  expect(paths).toEqual([
    'GET /scores/healthz',
    'POST /scores/v1/conversations/end',
    'GET /scores/v1/conversations/any',
    'GET /healthz',
    'POST /v1/conversations/end',
    'GET /v1/conversations/any',
  ]);
});

test('send: a folder, an invalid URL', async () => {
  expect(await send(folder)).toMatchObject({
    code: 2,
    output: expect.stringContaining(`this is a folder, not a file: ${folder}`),
  });
  const path = await file([conversation()]);
  for (const url of ['somewhere', 'localhost:3000', 'ftp://127.0.0.1']) {
    const { code, output } = await runCommand(['send', path, '--url', url], {});
    expect(code).toBe(2);
    expect(output).toContain(`--url ${url} is not an HTTP address`);
  }
});

test('send: a pipe is read once, from its first byte', async () => {
  const path = await file(Array.from({ length: 7 }, () => conversation()));
  const program = `"${process.execPath}" "${fileURLToPath(new URL('../../src/main.ts', import.meta.url))}"`;
  const child = spawn('sh', ['-c', `cat "${path}" | ${program} send /dev/stdin --json --url ${api.url}`]);
  let printed = '';
  child.stdout.on('data', (chunk) => (printed += chunk));
  await once(child, 'close');
  expect(JSON.parse(printed)).toMatchObject({ posted: 7, accepted: 7 });
});

test.each([[['api']], [['fleet']]])('%s whose output nobody reads any more goes on, and ends well', async (args) => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), ...args], {
    env: { PATH: process.env['PATH'], ...space.env, PORT: String(await freePort()), WORKER_REPLICAS: '1' },
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
  });
  const ended = once(child, 'exit');
  await once(child, 'message');
  child.stdout?.destroy();
  // Each makes it write: the last member's lines, and its own.
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

test('send: a missing file, an unreachable API', async () => {
  expect(await send(join(folder, 'none'))).toMatchObject({
    code: 2,
    output: expect.stringContaining('there is no file'),
  });
  const path = await file([conversation()]);
  const away = await runCommand(['send', path, '--url', 'http://127.0.0.1:1'], {});
  expect(away).toMatchObject({
    code: 1,
    output: expect.stringContaining('no API answers at http://127.0.0.1:1 (ECONNREFUSED)'),
  });
});

test('an unreachable database is named, with what to do; a wrong password is not retried', async () => {
  const away = await runCommand(['api'], {
    ...space.env,
    DATABASE_URL: 'mysql://a:secret@127.0.0.1:1/x',
    START_DEADLINE_MS: '1',
  });
  expect(away.code).toBe(1);
  expect(away.output).toContain('cannot use the database mysql://a:***@127.0.0.1:1/x (ECONNREFUSED)');
  const url = new URL(space.env['DATABASE_URL'] ?? '');
  url.password = 'wrong';
  const denied = await runCommand(['worker'], { ...space.env, DATABASE_URL: url.href });
  expect(denied).toMatchObject({ code: 78, output: expect.stringContaining('DATABASE_URL') });
  expect(denied.output).not.toContain('wrong');
});

test(
  'a scorer that cannot be loaded, a port that is taken and a bad configuration stop the process with the ' + 'reason',
  async () => {
    const scorer = await runCommand(['worker'], { ...space.env, SCORER_MODULE: './no-such-scorer.ts' });
    expect(scorer).toMatchObject({ code: 78, output: expect.stringContaining('no-such-scorer.ts cannot be used') });
    const taken = await runCommand(['api'], { ...space.env, PORT: new URL(api.url).port });
    expect(taken).toMatchObject({ code: 78, output: expect.stringContaining('is in use') });
    const bad = await runCommand(['fleet'], { ...space.env, WORKER_REPLICAS: 'many', RABBITMQ_URL: '' });
    expect(bad.code).toBe(78);
    for (const name of ['WORKER_REPLICAS', 'RABBITMQ_URL']) expect(bad.output).toContain(name);
  },
);
