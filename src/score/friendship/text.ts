const emotionTag = /<\/?[a-z]+(?:_\d+)?\s*\/>/gi;
const word = /[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*/gu;

/**
 * A text as the word rules see it: no emotion tags, composed letters (Vietnamese has two spellings), lower case, one
 * kind of apostrophe.
 */
export function plain(text: string): string {
  return text.replace(emotionTag, ' ').normalize('NFC').replaceAll('’', "'").toLowerCase();
}

export function words(plainText: string): string[] {
  return plainText.match(word) ?? [];
}

/** A matcher for whole words and phrases. `\b` knows ASCII letters only, and Vietnamese is more than those. */
export function phraseMatcher(phrases: readonly string[]): RegExp {
  const alternatives = phrases
    .toSorted((a, b) => b.length - a.length)
    .map((p) => RegExp.escape(p).replaceAll('\\x20', '\\s+'));
  return new RegExp(`(?<![\\p{L}\\p{M}\\p{N}'])(?:${alternatives.join('|')})(?![\\p{L}\\p{M}\\p{N}])`, 'gu');
}

/** How often `matcher` (global) occurs. */
export function occurrences(plainText: string, matcher: RegExp): number {
  return plainText.match(matcher)?.length ?? 0;
}
