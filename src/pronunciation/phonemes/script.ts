/** Scripts that are several of Unicode's together. */
const parts: Readonly<Record<string, readonly string[]>> = {
  Jpan: ['Han', 'Hiragana', 'Katakana'],
  Kore: ['Hangul', 'Han'],
  Hans: ['Han'],
  Hant: ['Han'],
};
const matchers = new Map<string, RegExp>();

/**
 * Whether all letters of a text are of the script in which a language is usually written, or Latin. espeak-ng says the
 * name of any other letter ("Chinese letter"), so that two different texts would sound the same.
 */
export function isWrittenIn(lang: string, text: string): boolean {
  let matcher = matchers.get(lang);
  if (matcher === undefined) {
    matcher = othersThan(new Intl.Locale(lang).maximize().script ?? 'Latn');
    matchers.set(lang, matcher);
  }
  return !matcher.test(text);
}

function othersThan(script: string): RegExp {
  const all = ['Latin', 'Common', 'Inherited', ...(parts[script] ?? [script])];
  return new RegExp(`[\\p{L}--[${all.map((one) => `\\p{Script=${one}}`).join('')}]]`, 'v');
}
