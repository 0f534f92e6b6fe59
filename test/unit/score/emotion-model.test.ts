import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { goldOf, linesOf } from '../../../bench/analyser/examples.ts';
import { parseConversationRequest } from '../../../src/accept/request.ts';
import type { Turn } from '../../../src/event/conversation.ts';
import { tokensOf } from '../../../src/score/friendship/emotion/features.ts';
import { createModel } from '../../../src/score/friendship/emotion/model.ts';
import { readEmotion } from '../../../src/score/friendship/emotion/read-emotion.ts';
import weights from '../../../src/score/friendship/emotion/weights.json' with { type: 'json' };
import scorer from '../../../src/score/friendship/scorer.ts';

const logOf = (...texts: string[]): Turn[] =>
  texts.flatMap((text, i) => [
    { speaker: 'pika', turn_id: 2 * i + 1, text: 'And then?', timestamp: '' },
    { speaker: 'user', turn_id: 2 * i + 2, text, timestamp: '' },
  ]);
const samples = <T>(name: string) =>
  linesOf<T>(readFileSync(new URL(`../../../scripts/samples/${name}`, import.meta.url), 'utf8'));

const curious = [
  'I did not know that the deepest part of the ocean has never been seen by anybody',
  'Did you know that an octopus has three hearts and blue blood? That is so interesting',
  'I wonder how they can live down there without any light at all',
];

test('conversations that it has never seen are read better than by always saying the most frequent', () => {
  const labels = new Map(
    samples<{ conversation_id: string; user_sentiments: string[] }>('conversations.labels.ndjson').map((line) => [
      line.conversation_id,
      goldOf(line.user_sentiments),
    ]),
  );
  const all = samples('conversations.ndjson').map(parseConversationRequest);
  const right = all.filter((c) => readEmotion(c.turns, 0).emotion === labels.get(c.conversationId)).length;
  const mostFrequent = all.filter((c) => labels.get(c.conversationId) === 'interesting').length;
  expect(right).toBeGreaterThan(mostFrequent + 0.07 * all.length);
});

test('English is read by the model, which says how sure it is, and what weighed most, without the words', () => {
  const reading = readEmotion(logOf(...curious), 1);
  expect(reading).toMatchObject({ emotion: 'interesting', by: 'model' });
  expect(reading.confidence).toBeGreaterThan(1 / 3);
  expect(reading.confidence).toBeLessThan(1);
  expect(reading.weights).toHaveLength(5);
  expect(reading.weights.every((weight) => typeof weight === 'number' && Number.isFinite(weight))).toBe(true);
  expect(reading.weights).toEqual(reading.weights.toSorted((a, b) => b - a));
});

test.each([
  ['Vietnamese', ['Hôm nay con đi sở thú với mẹ và em', 'Con thấy con voi rất to và con khỉ rất vui', 'Con thích lắm']],
  ['hardly anything', ['yes', 'we went home', 'with mum']],
  ['nothing', []],
  ['words that nobody says', Array(5).fill('qxzv plorf wibbleton grund snarf')],
  ['marks and digits', Array(5).fill('?!?! 7777 ... 99999 ,,, 123456')],
])('%s is left to the rules', (_, texts) => {
  expect(readEmotion(logOf(...texts), 0)).toMatchObject({ by: 'rules', confidence: null, weights: [] });
});

test.each([
  ['angry', ['shut up you are so stupid', 'I hate you and I hate this game', 'leave me alone this is annoying me']],
  ['sad', ['I am so sad today because my dog died', 'I was crying all night long', 'I feel lonely without him']],
  ['boring', ['ok', 'yes', 'I do not know', 'no', 'ok', 'fine', 'idk', 'no', 'yes', 'whatever', 'ok', 'bye']],
])('%s, which no label could teach it, is left to the rules', (emotion, texts) => {
  expect(readEmotion(logOf(...texts), 0)).toMatchObject({ emotion, by: 'rules' });
});

test('what the robot says, its tags and the normal form of letters change nothing', () => {
  const log = logOf(...curious);
  const others = log.map((turn) => (turn.speaker === 'user' ? turn : { ...turn, text: '<happy/> Wow, I love it!!!' }));
  const decomposed = others.map((turn) => ({ ...turn, text: `<sad/> ${turn.text.normalize('NFD')}` }));
  expect(readEmotion(others, 1)).toEqual(readEmotion(log, 1));
  expect(readEmotion(decomposed, 1)).toEqual(readEmotion(log, 1));
});

test('the details say who read the emotion', () => {
  const context = {
    weights: { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5, pronunciation: 0 },
    signal: new AbortController().signal,
    headers: {},
  };
  const head = { conversation_id: 'c', user_id: 'u', bot_type: 'TALK', bot_id: 'b', bot_name: 'B', agent_tag: null };
  const times = { start_time: '2026-01-01T00:00:00.000Z', end_time: '2026-01-01T00:01:00.000Z' };
  const details = (metadata: Record<string, unknown> | null) => {
    const score = scorer.score({ ...head, ...times, metadata, conversation_log: logOf(...curious) }, context);
    if (score instanceof Promise) throw new Error('this scorer does not wait');
    return score.details;
  };
  expect(details(null)).toMatchObject({ session_emotion: 'interesting', emotion_reading: { by: 'model' } });
  expect(details({ emotion: 'happy' })).toMatchObject({
    session_emotion: 'happy',
    emotion_reading: { by: 'caller', confidence: null, weights: [] },
  });
  const words = curious.flatMap(tokensOf).filter((word) => /^\p{L}{4,}$/u.test(word) && word !== 'interesting');
  const stored = JSON.stringify(details(null));
  for (const word of words) expect(stored).not.toContain(word);
});

test('weights that do not fit together are refused', () => {
  expect(() => createModel({ ...weights, ngrams: `${weights.ngrams}\nmore` })).toThrow('do not fit');
  expect(() => createModel({ ...weights, signals: [] })).toThrow('do not fit');
});
