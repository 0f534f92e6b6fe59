import { plain } from '../text.ts';

const token = /[\p{L}\p{M}\p{N}']+|[?!.,]+/gu;

/** Words and marks, in the order in which they were said. */
export function tokensOf(text: string): string[] {
  return plain(text).match(token) ?? [];
}

/** Marks are tokens, and no words. */
export function isMark(token: string): boolean {
  return '?!.,'.includes(token[0] ?? '');
}

/** How often each token and each pair of neighbours occurs; pairs do not reach across texts. */
export function countNgrams(texts: readonly (readonly string[])[]): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (ngram: string) => counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  for (const tokens of texts) {
    for (const [i, one] of tokens.entries()) {
      add(one);
      if (i > 0) add(`${tokens[i - 1]} ${one}`);
    }
  }
  return counts;
}

/** How much was said, how evenly, how much of it asks or exclaims. The number and order are part of the weights. */
export const signalCount = 5;
export function engagement(texts: readonly (readonly string[])[]): number[] {
  const lengths = texts.map((tokens) => tokens.filter((one) => !isMark(one)).length);
  const average = mean(lengths);
  const share = (mark: string) =>
    mean(texts.map((tokens) => (tokens.some((one) => isMark(one) && one.includes(mark)) ? 1 : 0)));
  const deviation = Math.sqrt(mean(lengths.map((length) => (length - average) ** 2)));
  return [Math.log1p(average), share('?'), share('!'), Math.log1p(texts.length), deviation / 10];
}

/** The weight of an n-gram in a text grows with how often it occurs there, and with how few texts have it. */
export function weightOf(count: number, documents: number, documentsWithIt: number): number {
  return (1 + Math.log(count)) * (1 + Math.log((1 + documents) / (1 + documentsWithIt)));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, v) => sum + v, 0) / values.length;
}
