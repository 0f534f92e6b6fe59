import { expect, test } from 'vitest';
import type { Turn } from '../../../src/event/conversation.ts';
import { countNewMemories, findFacts } from '../../../src/score/friendship/memories.ts';

const user = (...texts: string[]): Turn[] =>
  texts.map((text, i) => ({ speaker: 'user', turn_id: i + 1, text, timestamp: '' }));

test.each([
  ['My name is Anna', 'name'],
  ['I am 7 years old', 'age'],
  ['con 6 tuổi ạ', 'age'],
  ['Con tên là Minh', 'name'],
  ['i have a little brother', 'family'],
  ['My dog is called Lu', 'pet'],
  ['nhà con có mèo', 'family'],
  ['I really love pizza', 'like'],
  ['con thích màu hồng', 'like'],
  ['I hate spiders', 'dislike'],
  ['con học lớp 2', 'school'],
  ['I live in Hanoi', 'home'],
  ['my birthday is in May', 'birthday'],
  ['con muốn làm bác sĩ', 'wish'],
])('%s tells of %s', (text, kind) => {
  expect(findFacts(text).map((fact) => fact.split(':')[0])).toEqual([kind]);
});

test.each([['Do you like my dog?'], ['I like it'], ['ok'], ['The game was fun'], ['không biết']])(
  '%s tells nothing',
  (text) => {
    expect(findFacts(text)).toEqual([]);
  },
);

test("a fact counts once per conversation, the bot's words never count, and a lesson has no facts", () => {
  const log = [
    ...user('I love pizza', 'I really love pizza!', 'My name is Anna'),
    { ...user('I love tea')[0], speaker: 'pika' } as Turn,
  ];
  expect(countNewMemories(log, 'TALK')).toBe(2);
  for (const lesson of ['NEXT_LESSON', ' next lesson ', 'Next_Lesson']) expect(countNewMemories(log, lesson)).toBe(0);
});
