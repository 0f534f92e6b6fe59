import { expect, test } from 'vitest';
import { asks } from '../../../src/score/friendship/questions.ts';

test.each([
  ['Do you like dogs?', ''],
  ['I like cats. What about you?', 'Do you like cats?'],
  ['how are you', ''],
  ['And you?', 'I am fine!'],
  ['Really? Why do birds sing', 'Birds sing in the morning.'],
  ['con chó ăn gì thế', ''],
  ['Tại sao bầu trời màu xanh?', 'Hôm nay trời đẹp quá!'],
  ['Pika có thích kem không', 'Con thích kem ạ?'],
  ['còn bạn thì sao?', 'Con bao nhiêu tuổi?'],
  ['<curious/> Pika biết bay không?', ''],
])('a question of their own: %s', (text, bot) => {
  expect(asks(text, bot)).toBe(true);
});

test.each([
  ['a cat?', 'Guess which animal I am thinking of?'],
  ['dogs?', 'I love dogs.'],
  ['what?', 'Say hello.'],
  ['hả?', 'Con chào Pika đi.'],
  ['không', 'Con có thích không?'],
  ['con không biết', 'Mấy giờ rồi?'],
  ['What a nice day', ''],
  ['when I was little I had a dog', ''],
  ['I wonder how many there are', ''],
  ['con mèo ạ?', 'Đố con biết con gì kêu meo meo?'],
  ['gì cũng được', 'Con muốn chơi gì?'],
  ['?', ''],
  ['', ''],
])('not a question of their own: %s', (text, bot) => {
  expect(asks(text, bot)).toBe(false);
});

test('a text of hundreds of kilobytes is read in linear time, whatever the bot said', () => {
  const long = 'I see. '.repeat(40_000);
  expect(asks(long, 'words and words '.repeat(20_000))).toBe(false);
});
