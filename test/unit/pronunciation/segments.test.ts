import { expect, test } from 'vitest';
import { isVowel, segmentsOf } from '../../../src/pronunciation/similarity/segments.ts';

const plain = { stress: false, length: true };

test.each([
  ['həlˈoʊ wˈɜːld', ['h', 'ə', 'l', 'o', 'ʊ', 'w', 'ɜː', 'l', 'd']],
  ['t͡ʃiːz', ['t͡ʃ', 'iː', 'z']],
  ['d͜ʒ', ['d͜ʒ']],
  ['pʰɪn', ['pʰ', 'ɪ', 'n']],
  ['bɔ̃.ʒuʁ', ['bɔ̃'.slice(0, 1), 'ɔ̃', 'ʒ', 'u', 'ʁ']],
  ['n̩', ['n̩']],
  ['sˈi1n tʃˈaː2w', ['s', 'i1', 'n', 't', 'ʃ', 'aː2', 'w']],
  ['ma˥˩', ['m', 'a˥˩']],
  ['ɡʷʼa', ['ɡʷʼ', 'a']],
  ['...!? - “”', []],
  ['', []],
])('%s', (ipa, expected) => {
  expect(segmentsOf(ipa, plain)).toEqual(expected.map((one) => one.normalize('NFD')));
});

test('stress and length count only if they are asked for', () => {
  expect(segmentsOf('ˈaː', { stress: true, length: true })).toEqual(['ˈaː']);
  expect(segmentsOf('ˈaː', { stress: true, length: false })).toEqual(['ˈa']);
  expect(segmentsOf('ˌaː', { stress: false, length: false })).toEqual(['a']);
});

test('composed and decomposed letters are the same', () => {
  expect(segmentsOf('ɔ̃ẽ'.normalize('NFC'), plain)).toEqual(segmentsOf('ɔ̃ẽ'.normalize('NFD'), plain));
});

test('vowels and consonants, also with stress and marks', () => {
  expect(['a', 'ˈɜː', 'ɔ̃'.normalize('NFD'), 'ə'].map(isVowel)).toEqual([true, true, true, true]);
  expect(['t͡ʃ', 'n̩', 'ŋ', 'w', 'ˈp'].map(isVowel)).toEqual([false, false, false, false, false]);
});
