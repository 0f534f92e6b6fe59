import { distance as distanceOfTexts } from 'fastest-levenshtein';
import { align, type Step } from './align.ts';
import { isVowel, type SegmentOptions, segmentsOf } from './segments.ts';

export type CompareOptions = SegmentOptions & {
  /** Whether a vowel for a vowel, or a consonant for a consonant, counts as half a mistake. */
  readonly byClass: boolean;
};

export type Comparison = {
  /** 1 − distance / the number of segments of the longer one; 1 if neither has any. */
  readonly similarity: number;
  readonly distance: number;
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly steps: readonly Step<string>[];
};

const plainCost = (a: string, b: string) => (a === b ? 0 : 1);
const classCost = (a: string, b: string) => (a === b ? 0 : isVowel(a) === isVowel(b) ? 0.5 : 1);

/** How alike two IPA texts are, and where they are not. */
export function compare(ipa1: string, ipa2: string, options: CompareOptions): Comparison {
  const first = segmentsOf(ipa1, options);
  const second = segmentsOf(ipa2, options);
  const { distance, steps } = align(first, second, options.byClass ? classCost : plainCost);
  return { similarity: similarityOf(distance, first.length, second.length), distance, first, second, steps };
}

/** The similarity without the alignment, which is several times cheaper. */
export function similarity(ipa1: string, ipa2: string, options: CompareOptions): number {
  if (options.byClass) return compare(ipa1, ipa2, options).similarity;
  const first = segmentsOf(ipa1, options);
  const second = segmentsOf(ipa2, options);
  const letters = new Map<string, string>();
  const encode = (segments: readonly string[]) => segments.map((one) => letterOf(one, letters)).join('');
  return similarityOf(distanceOfTexts(encode(first), encode(second)), first.length, second.length);
}

/** The library compares letters: each segment becomes one of its own. No text has too many for that. */
function letterOf(segment: string, letters: Map<string, string>): string {
  const known = letters.get(segment);
  if (known !== undefined) return known;
  const letter = String.fromCharCode(letters.size + 1);
  letters.set(segment, letter);
  return letter;
}

function similarityOf(distance: number, length1: number, length2: number): number {
  const longer = Math.max(length1, length2);
  return longer === 0 ? 1 : 1 - distance / longer;
}
