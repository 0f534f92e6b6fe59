import { expect, test } from 'vitest';
import type { Turn } from '../../../src/event/conversation.ts';
import { judgeByRules, readSignals } from '../../../src/score/friendship/emotion/judge-by-rules.ts';

const judge = (...texts: string[]) => {
  const log: Turn[] = texts.flatMap((text, i) => [
    { speaker: 'pika', turn_id: 2 * i + 1, text: 'And then?', timestamp: '' },
    { speaker: 'user', turn_id: 2 * i + 2, text, timestamp: '' },
  ]);
  return judgeByRules(readSignals(log));
};

test.each([
  [
    'interesting',
    [
      'Wow, I did not know that! Why do whales sing?',
      'That is fascinating, tell me more about the deep sea',
      'How deep can they dive?',
    ],
  ],
  ['interesting', ['Hay quá! Tại sao cá voi biết hát?', 'Con muốn biết thêm về biển, kể tiếp đi', 'Cá voi ăn gì thế?']],
  ['boring', ['ok', 'yes', 'idk', 'no', 'ok']],
  ['boring', ['dạ', 'không', 'con không biết', 'chán quá', 'thôi']],
  ['angry', ['shut up', 'I hate you, you are stupid', 'leave me alone', 'this is annoying']],
  ['angry', ['tức quá', 'ghét quá đồ ngốc', 'im đi', 'bực mình']],
  ['sad', ['I am so sad today because my dog died', 'I was crying all night', 'I feel lonely']],
  ['sad', ['Con buồn quá vì bạn chuyển trường', 'con khóc cả ngày', 'con nhớ mẹ']],
  ['happy', ['Yay I am so happy today!', 'I love it, haha!', 'This was fun!']],
  ['neutral', ['We went to the shop in the morning', 'Then we had rice for lunch', 'After that we went home again']],
  ['neutral', []],
] as const)('%s: %j', (emotion, texts) => {
  expect(judge(...texts)).toBe(emotion);
});

test("the bot's emotion tags and Unicode normal forms make no difference", () => {
  expect(judge('con buồn quá'.normalize('NFD'), 'con khóc', 'cô đơn'.normalize('NFD'))).toBe('sad');
});
