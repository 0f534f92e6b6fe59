import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { phonemeService } from '../../../src/pronunciation/phonemes/service.ts';
import { answer, ipaOf, type PhonemeServer, startPhonemeServer } from '../../support/phoneme-server.ts';

let server: PhonemeServer;
const open: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  server = await startPhonemeServer();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((service) => service.close()));
  await server[Symbol.asyncDispose]();
});

function service(options: { deadlineMs?: number; batchWaitMs?: number; openMs?: number; url?: string } = {}) {
  const made = phonemeService({
    url: options.url ?? server.url,
    connections: 4,
    deadlineMs: options.deadlineMs ?? 5_000,
    batchWaitMs: options.batchWaitMs ?? null,
    openMs: options.openMs ?? 60_000,
    log: pino({ level: 'silent' }),
  });
  open.push(made);
  return made;
}
const say = (text: string, lang = 'en-US') => ({ text, lang, mode: true });

test('it asks as agreed, over connections that are kept', async () => {
  const { lookUp } = service();
  expect(await lookUp(say('cat'))).toBe(ipaOf('cat'));
  expect(server.asked).toEqual([{ text: 'cat', lang: 'en-US', mode: true }]);
  for (let i = 0; i < 20; i++) await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((text) => lookUp(say(text))));
  expect(server.connections).toBeLessThanOrEqual(4);
});

test.each([
  ['a 500 and a 503', [500, 503]],
  ['a 429', [429]],
])('%s pass', async (_, statuses) => {
  const left = [...statuses];
  server.behave((asked, response) => {
    const status = left.shift();
    if (status === undefined) answer(response, 200, { ipa: ipaOf(asked.text ?? '') });
    else answer(response, status, 'busy');
  });
  expect(await service().lookUp(say('cat'))).toBe(ipaOf('cat'));
  expect(server.asked).toHaveLength(statuses.length + 1);
});

test.each([400, 413, 422])(
  'a %i is about the text: it is not repeated, and does not open the circuit',
  async (status) => {
    server.behave((_asked, response) => answer(response, status, 'no such word'));
    const { lookUp } = service();
    for (let i = 0; i < 10; i++)
      await expect(lookUp(say('cat'))).rejects.toMatchObject({ kind: 'refused', reason: 'refused' });
    expect(server.asked).toHaveLength(10);
    server.behave(null);
    expect(await lookUp(say('cat'))).toBe(ipaOf('cat'));
  },
);

test.each([401, 403, 404, 405])(
  'a %i has to be mended: it is no answer about the text, and not repeated',
  async (status) => {
    server.behave((_asked, response) => answer(response, status, 'who are you?'));
    const { lookUp } = service();
    await expect(lookUp(say('cat'))).rejects.toMatchObject({ kind: 'unavailable', reason: 'status' });
    expect(server.asked).toHaveLength(1);
    for (let i = 0; i < 4; i++) await expect(lookUp(say('cat'))).rejects.toMatchObject({ reason: 'status' });
    await expect(lookUp(say('cat'))).rejects.toMatchObject({ reason: 'open' });
  },
);

test('waiting for a connection takes nothing from the time of a call', async () => {
  server.behave(async (asked, response) => {
    await delay(150);
    answer(response, 200, { ipa: ipaOf(asked.text ?? '') });
  });
  // Ten rounds of 150 ms, where a call may take 600.
  const { lookUp } = service({ deadlineMs: 600 });
  const found = await Promise.all(Array.from({ length: 40 }, (_, i) => lookUp(say(`word${'abcd'[i % 4]}`))));
  expect(found).toHaveLength(40);
  expect(server.mostAtOnce).toBe(4);
});

test('the name and password in its address are sent', async () => {
  await service({ url: server.url.replace('//', '//user:se%63ret@') }).lookUp(say('cat'));
  expect(server.headers[0]?.authorization).toBe(`Basic ${Buffer.from('user:secret').toString('base64')}`);
});

test.each([
  ['no JSON', '<html>'],
  ['no ipa', { phonemes: 'k' }],
  ['an ipa that is a list', { ipa: ['k'] }],
  ['half a body', '{"ipa": "kæ'],
  ['two megabytes', `{"ipa": "${'k'.repeat(2_097_152)}"}`],
])('garbage: %s', async (_, body) => {
  server.behave((_asked, response) => answer(response, 200, body));
  const error = await service()
    .lookUp(say('secret words'))
    .then(
      () => null,
      (reason: Error) => reason,
    );
  expect(error).toMatchObject({ kind: 'unavailable', reason: 'garbage' });
  expect(String(error?.message)).not.toContain('secret');
  expect(server.asked).toHaveLength(3);
});

test.each([
  ['never answers', () => {}],
  [
    'sends its body without end, slowly',
    async (response: import('node:http').ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      while (!response.destroyed) {
        response.write(' ');
        await delay(20);
      }
    },
  ],
])('a service that %s costs the deadline, and no more', async (_, behave) => {
  server.behave((_asked, response) => behave(response));
  await expect(service({ deadlineMs: 300 }).lookUp(say('cat'))).rejects.toMatchObject({
    kind: 'unavailable',
    reason: 'timeout',
  });
  expect(server.asked.length).toBeLessThanOrEqual(3);
});

test('connections that are cut are an answer, too', async () => {
  server.behave((_asked, response) => void response.socket?.destroy());
  await expect(service().lookUp(say('cat'))).rejects.toMatchObject({ kind: 'unavailable', reason: 'connection' });
});

test('after five failures in a row nothing is sent', async () => {
  server.behave((_asked, response) => answer(response, 500, 'down'));
  const { lookUp } = service();
  for (let i = 0; i < 2; i++) await expect(lookUp(say('cat'))).rejects.toMatchObject({ kind: 'unavailable' });
  expect(server.asked).toHaveLength(5);
  await expect(lookUp(say('cat'))).rejects.toMatchObject({ kind: 'unavailable', reason: 'open' });
  expect(server.asked).toHaveLength(5);
});

test('one try shows that it is back', async () => {
  server.behave((_asked, response) => answer(response, 500, 'down'));
  const { lookUp } = service({ openMs: 100 });
  for (let i = 0; i < 2; i++) await expect(lookUp(say('cat'))).rejects.toMatchObject({ kind: 'unavailable' });
  server.behave(null);
  await vi.waitFor(async () => expect(await lookUp(say('cat'))).toBe(ipaOf('cat')), { timeout: 20_000 });
  expect(await lookUp(say('dog'))).toBe(ipaOf('dog'));
});

test('texts that are needed at about the same time go in one call: at most ten, of one language', async () => {
  const { lookUp } = service({ batchWaitMs: 20 });
  const texts = Array.from({ length: 23 }, (_, i) => `word ${'abcdefghijklmnopqrstuvw'[i]}`);
  const found = await Promise.all([...texts.map((text) => lookUp(say(text))), lookUp(say('chào', 'vi'))]);
  expect(found).toEqual([...texts, 'chào'].map(ipaOf));
  expect(server.asked.map(({ texts, lang }) => `${texts?.length} ${lang}`).sort()).toEqual([
    '1 vi',
    '10 en-US',
    '10 en-US',
    '3 en-US',
  ]);
});

test('in a batch, a text that is refused costs only itself; another number of answers costs all', async () => {
  const { lookUp } = service({ batchWaitMs: 10 });
  server.behave(({ texts }, response) =>
    answer(response, 200, { ipa: texts?.map((text) => (text === 'bad' ? null : ipaOf(text))) }),
  );
  const [good, bad] = await Promise.allSettled([lookUp(say('good')), lookUp(say('bad'))]);
  expect(good).toEqual({ status: 'fulfilled', value: ipaOf('good') });
  expect(bad).toMatchObject({ status: 'rejected', reason: { kind: 'refused' } });
  server.behave((_asked, response) => answer(response, 200, { ipa: ['one'] }));
  const both = await Promise.allSettled([lookUp(say('a')), lookUp(say('b'))]);
  for (const one of both) expect(one).toMatchObject({ status: 'rejected', reason: { reason: 'garbage' } });
});

test('a batch that is refused is asked for one by one', async () => {
  server.behave(({ texts }, response) =>
    texts?.includes('bad') ? answer(response, 422, 'no') : answer(response, 200, { ipa: texts?.map(ipaOf) }),
  );
  const { lookUp } = service({ batchWaitMs: 10 });
  const results = await Promise.allSettled(['one', 'bad', 'two'].map((text) => lookUp(say(text))));
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.kind))).toEqual([
    ipaOf('one'),
    'refused',
    ipaOf('two'),
  ]);
});

test('nobody listens: an answer at once, and the circuit opens', async () => {
  await server[Symbol.asyncDispose]();
  const { lookUp } = service();
  for (let i = 0; i < 2; i++) await expect(lookUp(say('cat'))).rejects.toMatchObject({ reason: /connection|open/ });
  await expect(lookUp(say('cat'))).rejects.toMatchObject({ reason: 'open' });
  server = await startPhonemeServer();
});
