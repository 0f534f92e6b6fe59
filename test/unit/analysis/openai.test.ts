import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type OpenAiOptions, openAi } from '../../../src/analysis/openai.ts';
import type { Analyser } from '../../../src/analysis/ports.ts';
import type { Conversation } from '../../../src/event/conversation.ts';
import { type ChatServer, completion, conversationsOf, happy, startChatServer } from '../../support/chat-server.ts';
import { answer } from '../../support/json-server.ts';

let server: ChatServer;
const open: Analyser[] = [];
beforeEach(async () => {
  server = await startChatServer();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((analyser) => analyser.close?.()));
  await server[Symbol.asyncDispose]();
});

function analyser(options: Partial<OpenAiOptions> = {}): Analyser {
  const made = openAi({
    url: server.url,
    key: 'sk-secret',
    model: 'small',
    promptFile: null,
    connections: 10,
    deadlineMs: 5_000,
    batch: 1,
    batchWaitMs: 20,
    tokensPerMinute: 0,
    tokensPerDay: 0,
    openMs: 60_000,
    log: pino({ level: 'silent' }),
    ...options,
  });
  open.push(made);
  return made;
}
const analyse = (made: Analyser, one = conversation()) => made.analyse(one, { signal: AbortSignal.timeout(60_000) });

function conversation(...texts: string[]): Conversation {
  return {
    ...{ conversation_id: 'conv_secret', user_id: 'user_secret', bot_type: 'TALK', bot_id: 'b', bot_name: 'B' },
    ...{ agent_tag: null, start_time: '', end_time: '', metadata: null },
    conversation_log: ['Hello!', ...(texts.length === 0 ? ['I like dogs'] : texts)].map((text, i) => ({
      speaker: i === 0 ? ('pika' as const) : ('user' as const),
      ...{ turn_id: i + 1, text, timestamp: '' },
    })),
  };
}

test('it asks as agreed: deterministic, by a schema, with our prompt and the key, without ids of anybody', async () => {
  expect(await analyse(analyser())).toEqual({ emotion: 'happy', userQuestions: 1, newMemories: 2 });
  const [asked] = server.asked;
  expect(asked).toMatchObject({
    model: 'small',
    temperature: 0,
    response_format: { type: 'json_schema', json_schema: { strict: true } },
  });
  expect(asked?.messages[0]?.content).toContain('never');
  expect(conversationsOf(asked)).toEqual([
    {
      id: expect.stringMatching(/^[0-9a-f]{8}$/),
      items: [
        { speaker: 'robot', text: 'Hello!' },
        { speaker: 'user', text: 'I like dogs' },
      ],
    },
  ]);
  expect(JSON.stringify(asked)).not.toMatch(/user_secret|conv_secret/);
  expect(server.headers[0]?.authorization).toBe('Bearer sk-secret');
});

test('another prompt', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-prompt-'));
  await writeFile(join(folder, 'prompt.txt'), 'Read this.');
  await analyse(analyser({ promptFile: join(folder, 'prompt.txt') }));
  expect(server.asked[0]?.messages[0]?.content).toBe('Read this.');
  expect(() => analyser({ promptFile: join(folder, 'none.txt') })).toThrow('ENOENT');
  await rm(folder, { recursive: true });
});

test('several conversations share a call, and each gets its own answer, in whatever order they come', async () => {
  server.behave((asked, response) => {
    const analyses = conversationsOf(asked).map(({ id, items }) => ({ ...happy(id), new_memories: items.length }));
    answer(response, 200, completion(analyses.reverse()));
  });
  const made = analyser({ batch: 4 });
  const sizes = [1, 2, 3, 4, 5, 6];
  const found = await Promise.all(sizes.map((n) => analyse(made, conversation(...Array(n).fill('yes')))));
  expect(found.map(({ newMemories }) => newMemories)).toEqual(sizes.map((n) => n + 1));
  expect(server.asked.map((asked) => conversationsOf(asked).length).sort()).toEqual([2, 4]);
});

test.each([
  ['text', (_id: string) => 'Sure! Here is the analysis.'],
  ['an answer that was cut off', () => completion([], { finish: 'length', content: '{"analyses": [' })],
  ['half of its JSON', () => completion([], { content: '{"analyses": [{"id"' })],
  ['no analysis', () => completion([])],
  ['another id', () => completion([happy('7')])],
  ['an emotion that there is not', (id: string) => completion([{ ...happy(id), emotion: 'hungry' }])],
  ['an id twice', (id: string) => completion([happy(id), happy(id)])],
  ['a negative count', (id: string) => completion([{ ...happy(id), new_memories: -1 }])],
  ['a fraction', (id: string) => completion([{ ...happy(id), new_memories: 1.5 }])],
  ['no choices', () => ({ choices: [] })],
  ['an error with status 200', () => ({ error: { message: 'overloaded' } })],
])('%s is garbage, and asked for again', async (_, body) => {
  server.behave((asked, response) => answer(response, 200, body(conversationsOf(asked)[0]?.id ?? '')));
  await expect(analyse(analyser())).rejects.toMatchObject({ reason: 'garbage' });
  expect(server.asked).toHaveLength(3);
});

test('counts are cut to what the conversation can hold', async () => {
  server.behave((asked, response) => {
    const [{ id } = { id: '' }] = conversationsOf(asked);
    answer(response, 200, completion([{ ...happy(id), user_questions: 9, new_memories: 2_000 }]));
  });
  expect(await analyse(analyser())).toMatchObject({ userQuestions: 1, newMemories: 5 });
});

test.each([
  ['a refusal', { content: null, refusal: 'I cannot help with that' }, 'stop'],
  ['a filter', { content: '' }, 'content_filter'],
  ['nothing', { content: null }, 'stop'],
])('%s is about the conversation, and not asked for again', async (_, message, finish_reason) => {
  server.behave((_asked, response) => answer(response, 200, { choices: [{ finish_reason, message }] }));
  await expect(analyse(analyser())).rejects.toMatchObject({ reason: 'refused' });
  expect(server.asked).toHaveLength(1);
});

test('neither many 429 nor conversations that confuse the model keep the others from it', async () => {
  let n = 0;
  server.behave((asked, response) => {
    if (++n <= 6) answer(response, 429, '', { 'retry-after': '1' });
    else answer(response, 200, completion(conversationsOf(asked).map(({ id }) => happy(id))));
  });
  const made = analyser();
  const found = await Promise.all(Array.from({ length: 6 }, () => analyse(made)));
  expect(found.map(({ emotion }) => emotion)).toEqual(Array(6).fill('happy'));
  server.behave((_asked, response) => answer(response, 200, completion([])));
  for (let i = 0; i < 3; i++) await expect(analyse(made)).rejects.toMatchObject({ reason: 'garbage' });
  server.behave(null);
  expect(await analyse(made)).toMatchObject({ emotion: 'happy' });
});

test('what answers that cannot be used have cost counts, too', async () => {
  server.behave((_asked, response) => answer(response, 200, completion([happy('another')])));
  const made = analyser({ tokensPerDay: 700 });
  await expect(analyse(made)).rejects.toMatchObject({ reason: 'garbage' });
  // 3 x 110 are gone; an estimate of more than what is left does not fit.
  await expect(analyse(made)).rejects.toMatchObject({ reason: 'busy' });
});

test('an attempt that timed out was probably read, and counts, also when its repeat is answered', async () => {
  let n = 0;
  server.behave((asked, response) => {
    if (++n > 1) answer(response, 200, completion(conversationsOf(asked).map(({ id }) => happy(id))));
  });
  const made = analyser({ deadlineMs: 1_000, tokensPerDay: 700 });
  expect(await analyse(made)).toMatchObject({ emotion: 'happy' });
  // An estimate for the first attempt and 110 for the second: another call does not fit.
  await expect(analyse(made)).rejects.toMatchObject({ reason: 'busy' });
});

test('an attempt that was only turned away costs nothing, however the call ends', async () => {
  server.behave((_asked, response) => answer(response, 429, '', { 'retry-after': '1' }));
  const made = analyser({ deadlineMs: 1_500, tokensPerDay: 700 });
  for (let i = 0; i < 3; i++) await expect(analyse(made)).rejects.toThrow();
  server.behave(null);
  expect(await analyse(made)).toMatchObject({ emotion: 'happy' });
});

test('a repeat that would come after the deadline is not made, and says nothing about the service', async () => {
  let turnsAway = true;
  server.behave((asked, response) => {
    if (turnsAway) answer(response, 429, '', { 'retry-after': '1' });
    else answer(response, 200, completion(conversationsOf(asked).map(({ id }) => happy(id))));
  });
  const made = analyser({ deadlineMs: 1_500 });
  await Promise.allSettled(Array.from({ length: 6 }, () => analyse(made)));
  turnsAway = false;
  // For as long as a pause between attempts lasts, no call meets an open circuit.
  const until = performance.now() + 1_500;
  while (performance.now() < until) expect(await analyse(made)).toMatchObject({ emotion: 'happy' });
});

test('a query stays behind the path', async () => {
  await analyse(analyser({ url: `${server.url}?api-version=1` }));
  expect(server.asked).toHaveLength(1);
});

test('a 429 is waited for as long as it says, if the deadline allows it', async () => {
  const times: number[] = [];
  server.behave((asked, response) => {
    times.push(performance.now());
    if (times.length === 1) answer(response, 429, '', { 'retry-after': '1' });
    else answer(response, 200, completion(conversationsOf(asked).map(({ id }) => happy(id))));
  });
  expect(await analyse(analyser())).toMatchObject({ emotion: 'happy' });
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(950);

  server.behave((_asked, response) => answer(response, 429, '', { 'retry-after': '3600' }));
  const before = server.asked.length;
  await expect(analyse(analyser())).rejects.toMatchObject({ reason: 'status', status: 429, retryAfterMs: 3_600_000 });
  expect(server.asked).toHaveLength(before + 1);
});

test.each([
  [400, 'refused'],
  [413, 'refused'],
  [401, 'status'],
  [404, 'status'],
])('a %i is not repeated: %s', async (status, reason) => {
  server.behave((_asked, response) => answer(response, status, 'secret words'));
  await expect(analyse(analyser())).rejects.toMatchObject({
    reason,
    message: expect.not.stringContaining('secret'),
  });
  expect(server.asked).toHaveLength(1);
});

test('one that dies half-way through its answer', async () => {
  server.behave(async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '10000' });
    response.write('{"choices": [');
    await delay(20);
    response.destroy();
  });
  await expect(analyse(analyser())).rejects.toMatchObject({ reason: 'connection' });
});

test('one that is refused, or confuses the model, costs only itself', async () => {
  for (const bad of ['refuse me', 'confuse me']) {
    server.behave((asked, response) => {
      const all = conversationsOf(asked);
      const isBad = all.some(({ items }) => items.some(({ text }) => text === bad));
      if (isBad && bad === 'refuse me') answer(response, 400, 'content filter');
      else answer(response, 200, completion(isBad ? [] : all.map(({ id }) => happy(id))));
    });
    const made = analyser({ batch: 3 });
    const results = await Promise.allSettled(['fine', bad, 'good'].map((text) => analyse(made, conversation(text))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  }
});

test('a budget: nothing is sent above it, and what calls have really cost counts', async () => {
  // Each call costs 110; its estimate is higher.
  const made = analyser({ tokensPerDay: 1_500 });
  let sent = 0;
  while (
    await analyse(made).then(
      () => true,
      () => false,
    )
  )
    sent++;
  expect(server.asked).toHaveLength(sent);
  expect(sent).toBeGreaterThan(5);
  expect(sent).toBeLessThanOrEqual(14);
  await expect(analyse(made)).rejects.toMatchObject({ reason: 'busy' });
  expect(server.asked).toHaveLength(sent);
});

test('a budget below one call still allows calls, one at a time', async () => {
  const made = analyser({ tokensPerDay: 50 });
  expect(await analyse(made)).toMatchObject({ emotion: 'happy' });
  await expect(analyse(made)).rejects.toMatchObject({ reason: 'busy' });
});
