const emotionTag = /<\/?[a-z]+(?:_\d+)?\s*\/>/gi;
const word = /[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*/gu;

/**
 * Normalises a text for the word rules: no emotion tags, composed letters (Vietnamese text comes in two Unicode forms),
 * lower case, and one kind of apostrophe.
 */
export function plain(text: string): string {
  return text.replace(emotionTag, ' ').normalize('NFC').replaceAll('’', "'").toLowerCase();
}

export function words(plainText: string): string[] {
  return plainText.match(word) ?? [];
}

/** A matcher for whole words and phrases. `\b` does not work, because it knows only ASCII letters. */
export function phraseMatcher(phrases: readonly string[]): RegExp {
  const alternatives = phrases
    .toSorted((a, b) => b.length - a.length)
    .map((p) => RegExp.escape(p).replaceAll('\\x20', '\\s+'));
  return new RegExp(`(?<![\\p{L}\\p{M}\\p{N}'])(?:${alternatives.join('|')})(?![\\p{L}\\p{M}\\p{N}])`, 'gu');
}

/** How often `matcher`, which must be global, matches. */
export function occurrences(plainText: string, matcher: RegExp): number {
  return plainText.match(matcher)?.length ?? 0;
}
