import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as secureRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectSecurely, type PeerCertificate } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { call, conversation, post } from '../support/client.ts';
import { bearer, createKey } from '../support/keys.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { openRaw } from '../support/raw-http.ts';

/** An API that strangers can reach. */

const servers = () => ({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));

let space: Namespace;
beforeAll(async () => {
  space = await createNamespace(servers());
});
afterAll(() => space.dispose());

async function withApi(env: Record<string, string>, work: (api: Member) => Promise<void>): Promise<void> {
  const api = await startMember('api', { ...space.env, ...env });
  try {
    await work(api);
  } finally {
    expect(await api.stop()).toBe(0);
  }
}

describe('without keys', () => {
  test('on loopback it is open, and says so loudly', () =>
    withApi({}, async (api) => {
      expect((await post(api.url, conversation())).status).toBe(202);
      expect(api.lines.filter((line) => line.includes('the API is open') && line.includes('"level":40'))).toHaveLength(
        1,
      );
    }));

  test.each([
    [{ HOST: '0.0.0.0' }],
    [{ HOST: '::' }],
    [{ PUBLISHED_HOST: '192.0.2.7' }],
    [{ PUBLISHED_HOST: 'afterword.example' }],
    [{ HOST: '0.0.0.0', ALLOW_OPEN_API: 'no' }],
  ])('where others can reach it (%o), it does not start', async (env) => {
    const { code, output } = await runCommand(['api'], { ...space.env, ...env });
    expect(code).toBe(78);
    expect(output).toContain('afterword keys create');
  });

  test.each([
    [{ HOST: '0.0.0.0', ALLOW_OPEN_API: 'yes-i-understand' }],
    [{ HOST: '0.0.0.0', PUBLISHED_HOST: '127.0.0.1' }],
  ])('unless the operator says that this is meant (%o)', (env) =>
    withApi(env, async (api) => expect((await call(api.url, 'GET', '/v1/conversations')).status).toBe(200)),
  );

  test('an API that is open asks for keys from the first one on', async () => {
    const own = await createNamespace(servers());
    const api = await startMember('api', own.env);
    expect((await call(api.url, 'GET', '/v1/conversations')).status).toBe(200);
    const token = await createKey(own.env, 'first');
    await vi.waitFor(async () => expect((await call(api.url, 'GET', '/v1/conversations')).status).toBe(401), {
      timeout: 10_000,
      interval: 100,
    });
    expect((await call(api.url, 'GET', '/v1/conversations', undefined, bearer(token))).status).toBe(200);
    // One that was revoked was a key, too.
    expect((await runCommand(['keys', 'revoke', 'first'], own.env)).code).toBe(0);
    const later = await startMember('api', { ...own.env, HOST: '0.0.0.0', ALLOW_OPEN_API: 'yes-i-understand' });
    expect((await call(later.url, 'GET', '/v1/conversations')).status).toBe(401);
    expect(await Promise.all([api.stop(), later.stop()])).toEqual([0, 0]);
    await own.dispose();
  });
});

describe('limits', () => {
  test('a key that floods is held back, and a bystander is not', async () => {
    const own = await createNamespace(servers());
    const [flood, bystander] = [
      await createKey(own.env, 'flood', '--rate', '50'),
      await createKey(own.env, 'bystander'),
    ];
    const api = await startMember('api', own.env);
    const answers = await Promise.all(Array.from({ length: 500 }, () => post(api.url, conversation(), bearer(flood))));
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(50);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(450);
    expect(refused[0]).toMatchObject({ body: { code: 'rate_limited' } });
    expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused[0]?.headers['ratelimit-policy']).toBe('"key";q=50;w=60');
    expect(refused[0]?.headers['ratelimit']).toMatch(/^"key";r=0;t=\d+$/);
    for (let i = 0; i < 20; i++) expect((await post(api.url, conversation(), bearer(bystander))).status).toBe(202);
    expect(await api.stop()).toBe(0);
    await own.dispose();
  });

  test('tokens of one key share its limit, so that a rotation gives nobody more', async () => {
    const own = await createNamespace(servers(), { KEY_REQUESTS_PER_MINUTE: '10' });
    const before = await createKey(own.env, 'rotating');
    const { output } = await runCommand(['keys', 'rotate', 'rotating'], own.env);
    const after = output.split('\n').find((line) => line.startsWith('afw_live_')) ?? '';
    const api = await startMember('api', own.env);
    const statuses: number[] = [];
    for (const token of Array.from({ length: 7 }, () => [before, after]).flat())
      statuses.push((await post(api.url, conversation(), bearer(token))).status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(10);
    expect(await api.stop()).toBe(0);
    await own.dispose();
  });

  test.each([
    ['Redis', true],
    ['their shares', false],
  ])('two APIs together keep to a limit, by %s', async (_, withRedis) => {
    const own = await createNamespace(servers(), withRedis ? { REDIS_URL: inject('redisUrl') } : {});
    const name = `shared_${own.queue}`;
    const token = await createKey(own.env, name.slice(0, 40), '--rate', '40');
    const apis = await Promise.all([startMember('api', own.env), startMember('api', own.env)]);
    // Each knows the other from its heartbeats.
    await vi.waitFor(
      async () => {
        const { output } = await runCommand(['ps', '--json'], own.env);
        const line = output.split('\n').find((text) => text.startsWith('{')) ?? '{}';
        expect(JSON.parse(line).members.filter(({ state }: { state: string }) => state === 'running')).toHaveLength(2);
      },
      { timeout: 20_000, interval: 200 },
    );
    let taken = 0;
    await vi.waitFor(
      async () => {
        const probe = await call(apis[0].url, 'GET', '/v1/conversations?limit=1', undefined, bearer(token));
        taken += Number(probe.status === 200);
        expect(probe.headers['ratelimit-policy']).toBe(`"key";q=${withRedis ? 40 : 20};w=60`);
      },
      { timeout: 20_000, interval: 2_000 },
    );
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => post(apis[i % 2]?.url ?? '', conversation(), bearer(token))),
    );
    expect(answers.filter(({ status }) => status === 202).length + taken).toBe(40);
    expect(await Promise.all(apis.map((api) => api.stop()))).toEqual([0, 0]);
    await own.dispose();
  });

  test('while Redis is away, each API counts for itself, and nobody is refused for it', async () => {
    const own = await createNamespace(servers(), { REDIS_URL: 'redis://127.0.0.1:1' });
    const token = await createKey(own.env, 'app', '--rate', '5');
    const api = await startMember('api', own.env);
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++) statuses.push((await post(api.url, conversation(), bearer(token))).status);
    expect(statuses).toEqual([202, 202, 202, 202, 202, 429, 429, 429]);
    expect(await api.stop()).toBe(0);
    await own.dispose();
  });

  test('of a user: others of the same key go on', () =>
    withApi({ USER_EVENTS_PER_MINUTE: '3' }, async (api) => {
      const send = (user_id: string) => post(api.url, conversation({ user_id }));
      const first = [];
      for (let i = 0; i < 5; i++) first.push(await send('user_loud'));
      expect(first.map(({ status }) => status)).toEqual([202, 202, 202, 429, 429]);
      expect(first[4]?.headers['ratelimit-policy']).toBe('"user";q=3;w=60');
      expect((await send('user_quiet')).status).toBe(202);
    }));
});

describe('TLS', () => {
  const files = (folder: string) => ({
    TLS_CERT_FILE: join(folder, 'cert.pem'),
    TLS_KEY_FILE: join(folder, 'key.pem'),
  });
  function install(folder: string, name: string): void {
    copyFileSync(fixture(`${name}.pem`), join(folder, 'cert.pem'));
    copyFileSync(fixture(`${name}.key`), join(folder, 'key.pem'));
  }
  const subject = (url: string) =>
    new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(url);
      const socket = connectSecurely(
        { host: hostname, port: Number(port), ca: readFileSync(fixture('ca.pem')) },
        () => {
          resolve(String((socket.getPeerCertificate() as PeerCertificate).subject.CN));
          socket.end();
        },
      );
      socket.on('error', reject);
    });

  test('it speaks HTTPS, takes renewed certificates at once, and keeps the old one if they are bad', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'afterword-tls-'));
    install(folder, 'one');
    await withApi(files(folder), async (api) => {
      expect(api.url).toMatch(/^https:/);
      expect(await subject(api.url)).toBe('one.test');
      const status = await new Promise((resolve, reject) =>
        secureRequest(`${api.url}/readyz`, { ca: readFileSync(fixture('ca.pem')) }, (response) => {
          expect(response.headers['strict-transport-security']).toContain('max-age=');
          resolve(response.resume().statusCode);
        })
          .on('error', reject)
          .end(),
      );
      expect(status).toBe(200);
      install(folder, 'two');
      await vi.waitFor(async () => expect(await subject(api.url)).toBe('two.test'), { timeout: 30_000, interval: 500 });
      writeFileSync(join(folder, 'key.pem'), 'nonsense');
      await vi.waitFor(() => expect(api.lines.join()).toContain('the new certificate cannot be used'), {
        timeout: 30_000,
        interval: 500,
      });
      expect(await subject(api.url)).toBe('two.test');
    });
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['a file that is not there', { TLS_CERT_FILE: '/nowhere/cert.pem', TLS_KEY_FILE: '/nowhere/key.pem' }, 'ENOENT'],
    [
      'a key of another certificate',
      { TLS_CERT_FILE: fixture('one.pem'), TLS_KEY_FILE: fixture('two.key') },
      'cannot be used',
    ],
    ['only one of the two', { TLS_CERT_FILE: fixture('one.pem') }, 'belong together'],
    ['a CA file without a certificate', { CA_FILE: fixture('one.key') }, 'it contains no certificate'],
  ])('%s: it does not start, and says why', async (_, env, why) => {
    expect(await runCommand(['api'], { ...space.env, ...env })).toMatchObject({
      code: 78,
      output: expect.stringContaining(why),
    });
  });
});

describe('secrets', () => {
  test('may be in files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'afterword-secrets-'));
    const { DATABASE_URL = '', ...rest } = space.env;
    writeFileSync(join(folder, 'url'), `${DATABASE_URL}\n`);
    const run = (env: Record<string, string>) => runCommand(['keys', 'list'], { ...rest, ...env });
    expect((await run({ DATABASE_URL_FILE: join(folder, 'url') })).code).toBe(0);
    for (const [env, why] of [
      [{ DATABASE_URL_FILE: join(folder, 'missing') }, 'cannot be read (ENOENT)'],
      [{ DATABASE_URL_FILE: join(folder, 'url'), DATABASE_URL }, 'are both set'],
    ] as const)
      expect(await run(env)).toMatchObject({ code: 78, output: expect.stringContaining(why) });
    rmSync(folder, { recursive: true });
  });

  test('are in no log, no health page, no doctor and no crash', async () => {
    const secrets = {
      OPS_KEY: 'ops-secret-of-the-tests',
      API_KEY_SECRET: 'key-secret-of-the-tests',
      ANALYSER_KEY: 'analyser-secret-of-the-tests',
      PHONEME_URL: 'http://phoneme-secret-of-the-tests@127.0.0.1:1/',
    };
    const { password } = new URL(space.env['DATABASE_URL'] ?? '');
    const told: string[] = [];
    await withApi(secrets, async (api) => {
      told.push(JSON.stringify((await call(api.url, 'GET', '/health/detailed')).body));
      told.push(String((await call(api.url, 'GET', '/metrics')).body));
      told.push((await runCommand(['doctor'], { ...space.env, ...secrets })).output);
      told.push(...api.lines);
    });
    // A broker that does not exist, and a database that refuses.
    const broken = {
      ...space.env,
      ...secrets,
      DATABASE_URL: 'mysql://root:crash-secret@127.0.0.1:1/none',
      START_DEADLINE_MS: '0',
    };
    told.push((await runCommand(['api'], broken)).output, (await runCommand(['worker'], broken)).output);
    const text = told.join('\n');
    for (const secret of [...Object.values(secrets).slice(0, 3), 'phoneme-secret-of-the-tests', 'crash-secret'])
      expect(text).not.toContain(secret);
    if (password !== '') expect(text).not.toContain(`:${password}@`);
  });

  test('no core file is written', async () => {
    const script = readFileSync(new URL('../../scripts/setup.sh', import.meta.url), 'utf8');
    expect(script).toContain('ulimit -c 0');
    expect(readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8')).toContain(
      'ulimits: { core: 0 }',
    );
  });
});

describe('browsers', () => {
  test('are told to trust nothing: no types guessed, no frames, no scripts', () =>
    withApi({}, async (api) => {
      for (const path of ['/readyz', '/v1/conversations', '/nowhere', '/docs']) {
        const { headers } = await call(api.url, 'GET', path);
        expect(headers['x-content-type-options']).toBe('nosniff');
        expect(headers['content-security-policy']).toContain("default-src 'none'");
        expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
        expect(headers['content-security-policy']).not.toContain('unsafe');
        expect(headers['x-powered-by']).toBeUndefined();
      }
    }));

  test('pages of other origins may read nothing, unless they are named', async () => {
    const origin = { origin: 'https://app.example' };
    await withApi({}, async (api) => {
      const { headers } = await call(api.url, 'GET', '/v1/conversations', undefined, origin);
      expect(headers['access-control-allow-origin']).toBeUndefined();
    });
    await withApi({ CORS_ORIGINS: 'https://app.example, https://other.example' }, async (api) => {
      const ask = (from: string) => call(api.url, 'GET', '/v1/conversations', undefined, { origin: from });
      expect((await ask('https://app.example')).headers['access-control-allow-origin']).toBe('https://app.example');
      for (const stranger of ['https://app.example.evil.test', 'http://app.example', 'null'])
        expect((await ask(stranger)).headers['access-control-allow-origin']).toBeUndefined();
      const client = await openRaw(api.url);
      client.write(
        'OPTIONS /v1/conversations/end HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n' +
          'Access-Control-Request-Method: POST\r\n\r\n',
      );
      expect(await client.statuses(1)).toEqual([204]);
      expect(client.text()).toContain('Access-Control-Allow-Headers: Authorization');
      client.socket.destroy();
    });
  });
});

describe('requests that mean to confuse', () => {
  let api: Member;
  beforeAll(async () => {
    api = await startMember('api', space.env);
  });
  afterAll(async () => {
    expect(await api.stop()).toBe(0);
  });
  const raw = async (text: string) => {
    const client = await openRaw(api.url);
    client.write(text);
    const [status] = await client.statuses(1);
    await client.ended;
    return status;
  };
  const head = 'POST /v1/conversations/end HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

  test.each([
    ['both lengths', `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`],
    ['two different lengths', `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`],
    ['a length with a sign', `${head}Content-Length: +4\r\n\r\nabcd`],
    ['a length in hex', `${head}Content-Length: 0x4\r\n\r\nabcd`],
    ['chunked spelt badly', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['chunked, and something after it', `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['a chunk of a size that is none', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`],
    ['a blank before the colon', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n'],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
    ['a bare carriage return', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n'],
    ['a version that there is not', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n'],
    ['a method of its own', 'SMUGGLE / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('%s: 400, and the connection ends, so that nothing after it counts as a request', async (_, text) => {
    expect(await raw(text)).toBe(400);
  });

  test('headers of 64 KiB: 431', async () => {
    expect(await raw(`GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(65_536)}\r\n\r\n`)).toBe(431);
  });

  test.each([
    '/docs/problems/../../../../etc/passwd',
    '/docs/problems/..%2f..%2f..%2fetc%2fpasswd',
    '/docs/problems/%2e%2e/%2e%2e/package.json',
    '/docs/problems/..%5c..%5cpackage.json',
    '/docs/problems/key_invalid%00.md',
    '/docs/problems/KEY_INVALID',
    '/v1/conversations/../../metrics/x',
    '//v1//conversations',
  ])('%s leads nowhere', async (path) => {
    const client = await openRaw(api.url);
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect([400, 404]).toContain((await client.statuses(1))[0]);
    await client.ended;
    expect(client.text()).not.toMatch(/root:|"afterword"|# key/);
  });

  const nasty = [
    ["'; DROP TABLE conversation_events; --", 'SQL'],
    ['" OR ""="', 'SQL'],
    ["\\'; SELECT SLEEP(5); -- ", 'SQL'],
    ['line\r\nX-Injected: yes', 'a header'],
    ['line\n{"level":60,"msg":"forged"}', 'a log line'],
    ['\u2028\u2029', 'a line of NDJSON'],
    ['<script>alert(1)</script>', 'a page'],
    ['{{7*7}}', 'a template'],
    ['__proto__', 'a prototype'],
    ['\0', 'a C string'],
  ] as const;
  test.each(nasty)('%j is only a text, not %s', async (text) => {
    const body = conversation({ bot_name: text, agent_tag: text, bot_id: text, user_id: `user ${text}` });
    const id = `${body.conversation_id} ${text}`;
    const answer = await post(api.url, { ...body, conversation_id: id }, { 'x-request-id': 'ok' });
    expect(answer.status).toBe(202);
    expect(answer.headers['x-injected']).toBeUndefined();
    const read = await call(api.url, 'GET', `/v1/conversations/${encodeURIComponent(id)}`);
    expect(read).toMatchObject({ status: 200, body: { conversation_id: id, bot_name: text, bot_id: text } });
    const list = await call(api.url, 'GET', `/v1/conversations?user_id=${encodeURIComponent(`user ${text}`)}`);
    expect(list.body.conversations.map((one: { conversation_id: string }) => one.conversation_id)).toContain(id);
    expect(api.lines.every((line) => line.startsWith('{"level"') && !line.startsWith('{"level":60'))).toBe(true);
  });

  test('a request id that could forge a line of the log is replaced', async () => {
    const { headers } = await call(api.url, 'GET', '/readyz', undefined, { 'x-request-id': 'a b' });
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});
