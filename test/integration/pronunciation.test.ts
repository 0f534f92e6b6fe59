import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { call, callAny, conversation, post, rows } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { answer, type PhonemeServer, startPhonemeServer } from '../support/phoneme-server.ts';

let space: Namespace;
let api: Member;
let worker: Member;
let server: PhonemeServer;
let env: Record<string, string>;
const path = '/v1/pronunciation/similarity';

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  server = await startPhonemeServer();
  env = {
    ...space.env,
    PHONEME_URL: server.url,
    PHONEME_TIMEOUT_MS: '1000',
    PRONUNCIATION_SCORING: 'on',
    SCORE_WEIGHT_PRONUNCIATION: '10',
    RETRY_BASE_MS: '200',
    MAX_ATTEMPTS: '50',
  };
  api = await startMember('api', env);
  worker = await startMember('worker', env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await server[Symbol.asyncDispose]();
  await space.dispose();
});

const words = () =>
  Math.random()
    .toString(36)
    .replace(/[^a-z]/g, '')
    .padEnd(8, 'x');
/** Until the circuit lets calls through again. */
const recovered = () =>
  vi.waitFor(
    async () => expect((await call(api.url, 'POST', path, { text_1: words(), text_2: 'a' })).status).toBe(200),
    {
      timeout: 20_000,
    },
  );

test('two texts: how alike, and where not', async () => {
  const { status, body } = await call(api.url, 'POST', path, { text_1: 'A big dog', text_2: 'a  pig dog!' });
  expect(status).toBe(200);
  const { elapsed_ms, alignment, ...rest } = body;
  expect(rest).toEqual({
    similarity: 0.8571,
    distance: 1,
    tokens_1: ['a', 'b', 'i', 'g', 'd', 'o', 'g'],
    tokens_2: ['a', 'p', 'i', 'g', 'd', 'o', 'g'],
    cached: false,
  });
  expect(elapsed_ms).toBeGreaterThan(0);
  expect(alignment[1]).toEqual({ op: 'substituted', phoneme_1: 'b', phoneme_2: 'p' });
  expect((await call(api.url, 'POST', path, { text_1: 'a BIG dog ', text_2: 'A pig dog!' })).body.cached).toBe(true);
});

test('equal texts are looked up once, and so is the reference of many attempts', async () => {
  const [one, other] = [words(), words()];
  const before = server.asked.length;
  expect((await call(api.url, 'POST', path, { text_1: one, text_2: ` ${one.toUpperCase()}` })).body.similarity).toBe(1);
  expect(server.asked.length - before).toBe(1);
  const attempts = [...Array(50).fill(other), ...Array(49).fill(`${other}s`), ''];
  const { body } = await call(api.url, 'POST', path, { reference: other, attempts });
  expect(server.asked.length - before).toBe(3);
  expect(body.attempts).toHaveLength(100);
  expect(body.attempts[0].similarity).toBe(1);
  expect(body.attempts[60].distance).toBe(1);
  expect(body.attempts[99].similarity).toBe(0);
});

test('an attempt without phonemes does not cost the others; a reference does', async () => {
  const bad = `bad ${words()}`;
  server.behave(({ text }, response) =>
    text === bad ? answer(response, 400, 'no') : answer(response, 200, { ipa: text ?? '' }),
  );
  const { body } = await call(api.url, 'POST', path, { reference: words(), attempts: [words(), bad] });
  expect(body.attempts[0].similarity).toBeTypeOf('number');
  expect(body.attempts[1]).toEqual({ error: { code: 'no_phonemes', detail: expect.any(String) } });
  expect(await call(api.url, 'POST', path, { reference: bad, attempts: ['a'] })).toMatchObject({
    status: 422,
    body: { code: 'no_phonemes' },
  });
  server.behave(null);
});

test.each([
  ['nothing', {}, '/text_1'],
  ['one text', { text_1: 'a' }, '/text_2'],
  ['a text that is too long', { text_1: 'a', text_2: 'b'.repeat(501) }, '/text_2'],
  ['a path for a language', { text_1: 'a', text_2: 'b', lang: '../etc' }, '/lang'],
  ['a word for a mode', { text_1: 'a', text_2: 'b', mode: 'yes' }, '/mode'],
  ['no attempts', { reference: 'a', attempts: [] }, '/attempts'],
  ['101 attempts', { reference: 'a', attempts: Array(101).fill('b') }, '/attempts'],
  ['a number for an attempt', { reference: 'a', attempts: ['b', 7] }, '/attempts/1'],
  ['attempts at nothing', { attempts: ['b'] }, '/reference'],
])('%s is refused', async (_, body, pointer) => {
  const refused = await call(api.url, 'POST', path, body);
  expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
  expect(refused.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
});

test('the service down: 503, at once when the circuit is open, and what is known is still answered', async () => {
  const known = words();
  await call(api.url, 'POST', path, { text_1: known, text_2: known });
  server.behave((_asked, response) => answer(response, 500, 'down'));
  for (let i = 0; i < 3; i++) {
    const refused = await call(api.url, 'POST', path, { text_1: words(), text_2: '' });
    expect(refused).toMatchObject({ status: 503, body: { code: 'phonemes_unavailable' } });
    expect(refused.headers['retry-after']).toBeDefined();
  }
  const before = server.asked.length;
  expect((await call(api.url, 'POST', path, { text_1: words(), text_2: '' })).status).toBe(503);
  expect(server.asked.length).toBe(before);
  expect(await call(api.url, 'POST', path, { text_1: known, text_2: known })).toMatchObject({
    status: 200,
    body: { similarity: 1, cached: true },
  });
  server.behave(null);
  await recovered();
});

describe('in the pipeline', () => {
  const log = (target: string | undefined, text: string) => [
    { speaker: 'pika', text: 'Repeat after me!', target_text: 'not of a user' },
    { character: 'USER', content: text, ...(target !== undefined && { target_text: target }) },
    { speaker: 'user', text: 'And what now' },
  ];
  const result = async (id: string) =>
    (await call(api.url, 'GET', `/v1/conversations/${id}`, undefined, { prefer: 'wait=20' })).body;

  test('what was to be repeated is compared before it is scored, and counts', async () => {
    const body = conversation({ user_id: words(), conversation_log: log('a big dog', 'a pig dog') });
    expect((await post(api.url, body)).status).toBe(202);
    const { status, result: scored } = await result(body.conversation_id);
    expect(status).toBe('PROCESSED');
    expect(scored.score_calculation_details).toMatchObject({
      pronunciation: { items: [{ turn_id: 2, similarity: 0.8571 }], mean: 0.8571 },
      pronunciation_bonus: 8.571,
    });
    expect(scored.friendship_score_change).toBeCloseTo(1 + 8.571, 3);
    const [row] = await rows<{ log: string }>(
      space.database,
      `SELECT l.conversation_log AS log FROM conversation_logs l JOIN conversation_events e ON e.event_id = l.event_id
       WHERE e.conversation_id = ?`,
      [body.conversation_id],
    );
    const turns = typeof row?.log === 'string' ? JSON.parse(row.log) : row?.log;
    expect(turns.map((turn: { target_text?: string }) => turn.target_text)).toEqual([
      undefined,
      'a big dog',
      undefined,
    ]);
  });

  test('a dry run says the same, and a conversation without anything to repeat is as ever', async () => {
    const dry = await call(
      api.url,
      'POST',
      '/v1/conversations/score',
      conversation({ conversation_log: log('cat', 'cat') }),
    );
    expect(dry.body).toMatchObject({ pronunciation: { mean: 1 }, pronunciation_bonus: 10 });
    const plain = await call(api.url, 'POST', '/v1/conversations/score', conversation());
    expect(plain.body).not.toHaveProperty('pronunciation');
  });

  test('without phonemes the attempt fails and is made again; nothing is lost, nothing counts twice', async () => {
    const user = words();
    const known = conversation({ user_id: user });
    server.behave((_asked, response) => answer(response, 500, 'down'));
    const body = conversation({ user_id: user, conversation_log: log(words(), words()) });
    await post(api.url, body);
    await post(api.url, known);
    // Others are scored meanwhile.
    expect((await result(known.conversation_id)).status).toBe('PROCESSED');
    await vi.waitFor(async () => {
      const [row] = await rows<{ attempt_count: number; error_code: string }>(
        space.database,
        'SELECT attempt_count, error_code FROM conversation_events WHERE conversation_id = ?',
        [body.conversation_id],
      );
      expect(row).toMatchObject({ error_code: 'PHONEMES_UNAVAILABLE' });
      expect(row?.attempt_count).toBeGreaterThanOrEqual(1);
    }, 20_000);
    server.behave(null);
    const { status, result: scored } = await vi.waitUntil(async () => {
      const found = await result(body.conversation_id);
      return found.status === 'PROCESSED' ? found : null;
    }, 60_000);
    expect(status).toBe('PROCESSED');
    const { friendship_score } = (await call(api.url, 'GET', `/v1/users/${user}/friendship`)).body;
    const other = (await result(known.conversation_id)).result;
    expect(friendship_score).toBeCloseTo(scored.friendship_score_change + other.friendship_score_change, 3);
    await recovered();
  });

  test('a worker that cannot look phonemes up says so when it starts', async () => {
    const poor = await startMember('worker', { ...env, PHONEME_URL: 'http://127.0.0.1:1/' });
    await vi.waitFor(() => expect(poor.lines.join('\n')).toContain('no phonemes: conversations with a target_text'), {
      timeout: 20_000,
    });
    expect(await poor.stop()).toBe(0);
  });

  test('what is far too long for a sentence costs only its own item', async () => {
    const items = ['word '.repeat(300), 'short'].map((text) => ({ speaker: 'user', text, target_text: words() }));
    const body = conversation({ conversation_log: items });
    await post(api.url, body);
    const { result: scored } = await result(body.conversation_id);
    expect(scored.score_calculation_details.pronunciation.items.map((i: { turn_id: number }) => i.turn_id)).toEqual([
      2,
    ]);
  });

  test('as many items as a log may have: all are compared, and the details keep their bound', async () => {
    const items = Array.from({ length: 2_000 }, (_, i) => ({
      speaker: 'user',
      text: i % 2 ? 'abc' : 'abd',
      target_text: 'abc',
    }));
    const body = conversation({ conversation_log: items });
    expect((await post(api.url, body)).status).toBe(202);
    const { status, result: scored } = await result(body.conversation_id);
    expect(status).toBe('PROCESSED');
    const { pronunciation } = scored.score_calculation_details;
    expect(pronunciation.mean).toBe(0.8333);
    expect(pronunciation.items).toHaveLength(300);
    expect(pronunciation.items.every((item: { similarity: number }) => item.similarity < 1)).toBe(true);
  });

  test('a drain that ends while the service hangs gives the event back, with no attempt used', async () => {
    server.behave(() => {});
    const hanging = await startMember('worker', {
      ...space.env,
      ...{ PHONEME_URL: server.url, PHONEME_TIMEOUT_MS: '20000', PRONUNCIATION_SCORING: 'on', DRAIN_MS: '200' },
    });
    await worker.stop();
    const before = server.asked.length;
    const body = conversation({ conversation_log: log(words(), words()) });
    await post(api.url, body);
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(before), 20_000);
    expect(await hanging.stop()).toBe(0);
    const [row] = await rows<{ attempt_count: number; status: string }>(
      space.database,
      'SELECT attempt_count, status FROM conversation_events WHERE conversation_id = ?',
      [body.conversation_id],
    );
    expect(row).toMatchObject({ attempt_count: 0 });
    server.behave(null);
    worker = await startMember('worker', env);
    expect((await result(body.conversation_id)).status).toBe('PROCESSED');
  });

  test('a text that the service refuses costs only its own item', async () => {
    server.behave(({ text }, response) =>
      text?.startsWith('odd') ? answer(response, 422, '') : answer(response, 200, { ipa: text ?? '' }),
    );
    const items = ['odd', 'fine'].map((text) => ({
      speaker: 'user',
      text: `${text} ${words()}`,
      target_text: words(),
    }));
    const body = conversation({ conversation_log: items });
    await post(api.url, body);
    const { result: scored } = await result(body.conversation_id);
    expect(scored.score_calculation_details.pronunciation.items.map((i: { turn_id: number }) => i.turn_id)).toEqual([
      2,
    ]);
    server.behave(null);
  });

  test.each([
    ['501 letters', 'x'.repeat(501), 'must have at most 500 characters'],
    ['a number', 7, 'must be a string'],
    ['half a letter', '\ud800', 'must be valid Unicode (it has half of a surrogate pair)'],
  ])('a target_text that is %s is refused', async (_, target, detail) => {
    const body = conversation({ conversation_log: [{ speaker: 'user', text: 'hi', target_text: target }] });
    expect((await post(api.url, body)).body.errors).toEqual([{ pointer: '/conversation_log/0/target_text', detail }]);
  });
});

describe('espeak-ng on this machine', () => {
  let local: Member;
  let phonemes: Member;
  beforeAll(async () => {
    const port = { PORT: '0' };
    phonemes = await startMember('phonemes', port, { args: ['--port', '0'] });
    local = await startMember('api', { ...space.env, ...port, REDIS_URL: inject('redisUrl') });
  });
  afterAll(async () => {
    for (const member of [local, phonemes]) expect(await member.stop()).toBe(0);
  });

  test('English and Vietnamese, and no language that it does not speak', async () => {
    const english = await call(local.url, 'POST', path, { text_1: 'I see the sea', text_2: 'eye sea the see' });
    expect(english.body).toMatchObject({ similarity: 1 });
    expect(english.body.tokens_1.join('')).toMatch(/s.*s/);
    const near = await call(local.url, 'POST', path, { text_1: 'three trees', text_2: 'tree trees' });
    expect(near.body.alignment[0]).toEqual({ op: 'substituted', phoneme_1: 'θ', phoneme_2: 't' });
    // One phoneme each, and not the two letters that they are written with.
    const affricates = await call(local.url, 'POST', path, { text_1: 'jump', text_2: 'dump' });
    expect(affricates.body).toMatchObject({ distance: 1, tokens_1: ['d͡ʒ', 'ʌ', 'm', 'p'] });
    expect(await call(local.url, 'POST', path, { text_1: '你好', text_2: '您好' })).toMatchObject({
      status: 422,
      body: { code: 'no_phonemes' },
    });
    const vietnamese = await call(local.url, 'POST', path, { text_1: 'con mèo', text_2: 'con mẹo', lang: 'vi-VN' });
    expect(vietnamese.body.distance).toBeGreaterThan(0);
    expect(vietnamese.body.similarity).toBeGreaterThan(0.5);
    expect(await call(local.url, 'POST', path, { text_1: 'a', text_2: 'b', lang: 'xx' })).toMatchObject({
      status: 422,
      body: { code: 'no_phonemes' },
    });
  });

  test.each(['-v', '--help', '[[h@l]]', "'; rm -rf /", '😀', '$(date)', '...'])('%s is only a text', async (text) => {
    const { status, body } = await call(local.url, 'POST', path, { text_1: text, text_2: text });
    expect({ status, similarity: body.similarity }).toEqual({ status: 200, similarity: 1 });
  });

  test('the same contract, served: an API that asks it finds the same', async () => {
    const ask = (body: object) => callAny(phonemes.url, 'POST', '/', body);
    const one = (await ask({ text: 'hello world', lang: 'en-US', mode: true })).body.ipa as string;
    expect(one).toMatch(/^h/);
    expect((await ask({ texts: ['hello world', 'cat'], lang: 'en-US' })).body.ipa[0]).toBe(one);
    expect((await ask({ texts: ['cat'], lang: 'xx' })).body).toEqual({ ipa: [null] });
    expect((await ask({ text: 'cat', lang: 'xx' })).status).toBe(422);
    const remote = await startMember('api', {
      ...space.env,
      PORT: '0',
      PHONEME_URL: phonemes.url,
      PHONEME_BATCH: 'true',
    });
    const body = { text_1: 'a sunny morning', text_2: 'a funny morning' };
    const [here, there] = await Promise.all([
      call(local.url, 'POST', path, body),
      call(remote.url, 'POST', path, body),
    ]);
    expect(there.body.alignment).toEqual(here.body.alignment);
    expect(await remote.stop()).toBe(0);
  });

  test('compare and prewarm: what one process has looked up, another has through Redis', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'afterword-course-'));
    const file = join(folder, 'course.txt');
    const sentences = Array.from({ length: 105 }, (_, i) => `sentence ${words()} ${i}`);
    await writeFile(file, `${sentences.join('\r\n')}\n\n`);
    const prewarm = (...more: string[]) =>
      runCommand(['pronunciation', 'prewarm', file, '--url', local.url, ...more], {});
    const first = await prewarm();
    expect(first.output).toContain('105 sentences: 105 looked up, 0 cached before, 0 failed');
    expect(first.code).toBe(0);
    expect(JSON.parse((await prewarm('--json')).output)).toMatchObject({ sentences: 105, looked_up: 0, cached: 105 });
    const other = await startMember('api', { ...space.env, PORT: '0', REDIS_URL: inject('redisUrl') });
    await vi.waitFor(async () => {
      const { body } = await call(other.url, 'POST', path, { text_1: sentences[7], text_2: sentences[7] });
      expect(body.cached).toBe(true);
    });
    expect(await other.stop()).toBe(0);
    await writeFile(file, `fine\n${'long '.repeat(200)}\n`);
    const some = await prewarm();
    expect(some.output).toContain('2 sentences: 1 looked up, 0 cached before, 1 failed');
    expect(some.output).toContain('line 2: has more than 500 characters');
    expect(some.code).toBe(1);
    await writeFile(file, ' \n');
    expect(await prewarm()).toEqual({ code: 2, output: expect.stringContaining('no sentences in') });
    await writeFile(
      file,
      `${sentences
        .slice(0, 3)
        .map((one) => `${one} again`)
        .join('\n')}\n`,
    );
    server.behave((_asked, response) => answer(response, 500, 'down'));
    const away = await runCommand(['pronunciation', 'prewarm', file, '--url', api.url], {});
    expect(away.output).toMatch(/3 failed[\s\S]*stopped early: the phoneme service/);
    expect(away.code).toBe(1);
    server.behave(null);
    await rm(folder, { recursive: true });
    const bad = await runCommand(['pronunciation', 'compare', 'a', 'b', '--lang', '!!', '--url', local.url], {});
    expect(bad).toEqual({ code: 2, output: expect.stringContaining('/lang must be a language tag') });

    const compared = await runCommand(['pronunciation', 'compare', 'big dog', 'pig dog', '--url', local.url], {});
    expect(compared.code).toBe(0);
    expect(compared.output).toMatch(/b ɪ ɡ[\s\S]*p ɪ ɡ[\s\S]*\^[\s\S]*similarity 0\.8\d+, distance 1/);
  });

  test('metrics and doctor know of it', async () => {
    const metrics = (await call(api.url, 'GET', '/metrics')).body as string;
    expect(metrics).toMatch(/afterword_phoneme_lookups_total\{from="cache",code=""\} [1-9]/);
    expect(metrics).toMatch(/afterword_phoneme_circuits_total\{event="opened"\} [1-9]/);
    expect(metrics).toMatch(/afterword_phoneme_cache_entries [1-9]/);
    const doctor = (env: object) => runCommand(['doctor'], { ...space.env, PRONUNCIATION_SCORING: 'on', ...env });
    expect((await doctor({})).output).toMatch(/ok +phonemes +espeak-ng, \d+ ms/);
    expect((await doctor({ PHONEME_URL: 'http://127.0.0.1:1/' })).output).toMatch(
      /FAIL +phonemes +cannot be looked up/,
    );
  });
});
