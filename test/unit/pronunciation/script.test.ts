import { expect, test } from 'vitest';
import { isWrittenIn } from '../../../src/pronunciation/phonemes/script.ts';

test.each([
  ['en-US', 'Hello, world! 3 × 4… déjà vu', true],
  ['vi', 'Con mèo ơi, mày ở đâu? 😀', true],
  ['en-US', '你好', false],
  ['en', 'hello мир', false],
  ['ru', 'привет Pika', true],
  ['ru', 'γεια', false],
  ['ja', '漢字とカナ', true],
  ['ko', '안녕 漢', true],
  ['zh-CN', '你好', true],
  ['el', 'γεια σου', true],
  ['xx', 'hello', true],
  ['en', '', true],
  ['ur-Aran', 'hello', false],
  ['en-Qaaa', 'hello', false],
])('%s: %s', (lang, text, expected) => {
  expect(isWrittenIn(lang, text)).toBe(expected);
});
