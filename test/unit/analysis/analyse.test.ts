import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createAnalyse } from '../../../src/analysis/analyse.ts';
import type { Analyser } from '../../../src/analysis/ports.ts';
import { type Conversation, conversationText } from '../../../src/event/conversation.ts';
import { RemoteError } from '../../../src/runtime/remote/remote.ts';

const head = { conversation_id: 'c', user_id: 'u', bot_type: 'TALK', bot_id: 'b', bot_name: 'B', agent_tag: null };
const times = { start_time: '', end_time: '' };
const conversation: Conversation = { ...head, ...times, metadata: null, conversation_log: [] };

const says = (name: string, found: unknown): Analyser => ({ name, version: '1', analyse: async () => found as object });
const fails = (name: string, error: Error): Analyser => ({ name, version: '1', analyse: () => Promise.reject(error) });
const away = new RemoteError('connection', 'away');
const make = (analysers: readonly Analyser[], whenAway: 'local' | 'retry' = 'local', timeoutMs = 1_000) =>
  createAnalyse(analysers, { timeoutMs, whenAway, log: pino({ level: 'silent' }) });
const analysisOf = async (analysers: readonly Analyser[], whenAway: 'local' | 'retry' = 'local', timeoutMs = 1_000) =>
  (await make(analysers, whenAway, timeoutMs).conversation(conversation)).analysis;

test('what several find is put together; the later counts', async () => {
  const one = says('one', { emotion: 'sad', userQuestions: 2, newMemories: 3 });
  const other = says('other', { newMemories: 5 });
  expect(await analysisOf([one, other])).toEqual({
    emotion: 'sad',
    userQuestions: 2,
    newMemories: 5,
    by: 'one@1, other@1',
  });
});

test('what one does not say leaves what another has said', async () => {
  const undecided = says('undecided', { emotion: undefined, newMemories: 2 });
  expect(await analysisOf([says('one', { emotion: 'sad' }), undecided])).toMatchObject({
    emotion: 'sad',
    newMemories: 2,
  });
});

test('one that is away: the scorer reads alone, and the details say so; or the attempt is made again', async () => {
  const one = says('one', { emotion: 'sad' });
  expect(await analysisOf([fails('gone', away)])).toEqual({ by: 'local (fallback)' });
  expect(await analysisOf([one, fails('gone', away)])).toEqual({ emotion: 'sad', by: 'one@1, local (fallback)' });
  await expect(analysisOf([one, fails('gone', away)], 'retry')).rejects.toThrow('not analysed: gone');
});

test.each([
  ['a 4xx', new RemoteError('refused', 'no', { status: 400 })],
  ['an error that says so', Object.assign(new Error('no'), { permanent: true })],
])('one that does not take a conversation (%s) would not take it again: the scorer reads it', async (_, error) => {
  expect(await analysisOf([fails('strict', error)], 'retry')).toEqual({ by: 'local (fallback)' });
});

test.each([
  [
    'throws',
    {
      name: 'bad',
      version: '1',
      analyse: () => {
        throw new Error('at once');
      },
    },
  ],
  ['never answers, and does not heed its signal', { name: 'bad', version: '1', analyse: () => new Promise(() => {}) }],
  ['answers nothing', says('bad', undefined)],
  ['answers text', says('bad', 'happy')],
  ['counts below zero', says('bad', { newMemories: -1 })],
  ['counts in words', says('bad', { userQuestions: 'two' })],
] as [string, Analyser][])('a plug-in that %s counts as away', async (_, bad) => {
  expect(await analysisOf([bad], 'local', 50)).toEqual({ by: 'local (fallback)' });
  await expect(analysisOf([bad], 'retry', 50)).rejects.toThrow('not analysed: bad');
});

test('a conversation as text gets the analysis as one more field', async () => {
  const log = Buffer.from('[{"speaker":"user","turn_id":1,"text":"hi","timestamp":""}]');
  const text = conversationText({ ...head, ...times }, null, log);
  const analysed = await make([says('one', { emotion: 'sad' })]).text(text);
  expect(JSON.parse(Buffer.concat(analysed).toString())).toEqual({
    ...JSON.parse(Buffer.concat(text).toString()),
    analysis: { emotion: 'sad', by: 'one@1' },
  });
});

test('analysers are asked at the same time', async () => {
  let running = 0;
  let most = 0;
  const slow = (name: string): Analyser => ({
    name,
    version: '1',
    async analyse() {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      return {};
    },
  });
  await analysisOf([slow('one'), slow('other')]);
  expect(most).toBe(2);
});
