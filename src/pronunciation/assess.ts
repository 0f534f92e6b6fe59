import { type Found, type Phonemes, soundOf } from './phonemes/cache.ts';
import { NoPhonemes, type Spoken } from './ports.ts';
import { type CompareOptions, type Comparison, compare } from './similarity/compare.ts';

export type Assessed = Comparison & { readonly isCached: boolean };

/** What is wrong with one attempt; the others are compared all the same. */
export type Refused = { readonly failure: NoPhonemes };

/** Compares how texts are pronounced. */
export function createAssess(phonemes: Pick<Phonemes, 'find'>, options: CompareOptions) {
  return {
    /** @throws {NoPhonemes} of any of the two. */
    async pair(text1: string, text2: string, how: Omit<Spoken, 'text'>): Promise<Assessed> {
      const [first, second] = await findAll(phonemes, [text1, text2], how);
      if (first instanceof NoPhonemes) throw first;
      if (second instanceof NoPhonemes) throw second;
      return assessed(first as Found, second as Found, options);
    },

    /** @throws {NoPhonemes} of the reference. */
    async attempts(
      reference: string,
      attempts: readonly string[],
      how: Omit<Spoken, 'text'>,
    ): Promise<(Assessed | Refused)[]> {
      const [first, ...rest] = await findAll(phonemes, [reference, ...attempts], how);
      if (first instanceof NoPhonemes) throw first;
      const results: (Assessed | Refused)[] = [];
      for (const second of rest) {
        results.push(second instanceof NoPhonemes ? { failure: second } : assessed(first as Found, second, options));
        // Up to a hundred long texts would keep everybody else waiting.
        await new Promise(setImmediate);
      }
      return results;
    },
  };
}

/** All at once, and each text once. */
async function findAll(
  phonemes: Pick<Phonemes, 'find'>,
  texts: readonly string[],
  how: Omit<Spoken, 'text'>,
): Promise<(Found | NoPhonemes)[]> {
  const asked = new Map<string, Promise<Found | NoPhonemes>>();
  for (const text of texts) {
    const sound = soundOf({ text, ...how });
    if (asked.has(sound)) continue;
    const found = phonemes.find({ text, ...how }).catch((error: unknown) => {
      if (error instanceof NoPhonemes) return error;
      throw error;
    });
    asked.set(sound, found);
  }
  return Promise.all(texts.map((text) => asked.get(soundOf({ text, ...how })) as Promise<Found | NoPhonemes>));
}

function assessed(first: Found, second: Found, options: CompareOptions): Assessed {
  return { ...compare(first.ipa, second.ipa, options), isCached: first.isCached && second.isCached };
}
