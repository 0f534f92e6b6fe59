export type SegmentOptions = {
  /** Whether a stressed and an unstressed segment differ. */
  readonly stress: boolean;
  /** Whether a long and a short one differ. */
  readonly length: boolean;
};

const stressMarks = /[ˈˌ']/gu;
const lengthMarks = /[ːˑ]/gu;
/**
 * A letter with what belongs to it: stress before it; combining marks, modifiers (aspiration, length), tones as letters
 * or as espeak-ng's digits after it; and another letter if a tie bar joins the two.
 */
const segment =
  /[ˈˌ]?(?!\p{Lm})\p{L}\p{M}*(?:(?<=[\u035c\u0361])(?!\p{Lm})\p{L}\p{M}*)*(?:(?![ˈˌ])\p{Lm}|[˥˦˧˨˩]|\d)*/gu;

/** The segments of an IPA text, in canonical decomposition. Spaces, punctuation and syllable dots are none. */
export function segmentsOf(ipa: string, { stress, length }: SegmentOptions): string[] {
  let text = ipa.normalize('NFD');
  if (!stress) text = text.replace(stressMarks, '');
  if (!length) text = text.replace(lengthMarks, '');
  return text.match(segment) ?? [];
}

const vowels = new Set('iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝᵻ');

/** By its first letter. */
export function isVowel(segment: string): boolean {
  const letter = segment.replace(/^[ˈˌ]/u, '')[0] ?? '';
  return vowels.has(letter);
}
