/** Scripts that are several of Unicode's together. */
const parts: Readonly<Record<string, readonly string[]>> = {
  Jpan: ['Han', 'Hiragana', 'Katakana'],
  Kore: ['Hangul', 'Han'],
  Hans: ['Han'],
  Hant: ['Han'],
};
/** By script: there are as many as Unicode has. */
const matchers = new Map<string, RegExp | null>();

/**
 * Whether all letters of a text are of the script in which a language is usually written, or Latin. espeak-ng says the
 * name of any other letter ("Chinese letter"), so that two different texts would sound the same.
 */
export function isWrittenIn(lang: string, text: string): boolean {
  const script = new Intl.Locale(lang).maximize().script ?? 'Latn';
  let others = matchers.get(script);
  if (others === undefined) {
    others = othersThan(script);
    matchers.set(script, others);
  }
  return others !== null && !others.test(text);
}

/** Null: Unicode has no such script. */
function othersThan(script: string): RegExp | null {
  const all = ['Latin', 'Common', 'Inherited', ...(parts[script] ?? [script])];
  try {
    return new RegExp(`[\\p{L}--[${all.map((one) => `\\p{Script=${one}}`).join('')}]]`, 'v');
  } catch {
    return null;
  }
}
