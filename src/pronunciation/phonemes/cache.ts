import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { msSince, telemetry } from '../../runtime/telemetry.ts';
import { NoPhonemes, type PhonemeSource, type SharedCache, type Spoken } from '../ports.ts';

export type Found = { readonly ipa: string /** No source was asked for it now. */; readonly isCached: boolean };

export type Phonemes = {
  readonly source: string;
  /** @throws {NoPhonemes} */
  find(spoken: Spoken): Promise<Found>;
  /** Of the cache in this process. */
  readonly size: { readonly entries: number; readonly bytes: number };
  close(): Promise<void>;
};

/** About what an entry takes besides its strings. */
const entryBytes = 200;

/**
 * Phonemes from a bounded cache in front of a source. Many who miss the same text at once make one call. Failures are
 * never kept. What is older than `ttlMs` is answered once more while it is renewed, and stays while it cannot be.
 *
 * @param options.maxBytes  0: no cache.
 */
export function createPhonemes(options: {
  readonly source: PhonemeSource;
  readonly shared: SharedCache | null;
  readonly maxBytes: number;
  readonly ttlMs: number;
}): Phonemes {
  const { source, shared, maxBytes } = options;

  /** From the other processes, or from the source. */
  async function fetch(key: string, spoken: Spoken): Promise<Found> {
    const began = performance.now();
    const there = shared === null ? null : await shared.get(key).catch(() => null);
    if (there !== null) {
      telemetry.phonemes.tell({ from: 'shared', code: null, ms: msSince(began) });
      return { ipa: there, isCached: true };
    }
    try {
      const ipa = await source.lookUp(spoken);
      telemetry.phonemes.tell({ from: 'source', code: null, ms: msSince(began) });
      void shared?.set(key, ipa).catch(() => {});
      return { ipa, isCached: false };
    } catch (error) {
      const code = error instanceof NoPhonemes ? error.reason : 'bug';
      telemetry.phonemes.tell({ from: 'source', code, ms: msSince(began) });
      throw error;
    }
  }

  if (maxBytes === 0) {
    return {
      source: source.name,
      async find(spoken) {
        const folded = fold(spoken);
        return folded.text === '' ? silent : fetch(keyOf(folded), folded);
      },
      size: { entries: 0, bytes: 0 },
      close: () => source.close(),
    };
  }

  const cache = new LRUCache<string, string, Asked>({
    maxSize: maxBytes,
    sizeCalculation: (ipa, key) => 2 * (ipa.length + key.length) + entryBytes,
    ttl: options.ttlMs,
    allowStale: true,
    noDeleteOnFetchRejection: true,
    ignoreFetchAbort: true,
    fetchMethod: async (key, _stale, { context }) => {
      const found = await fetch(key, context.spoken);
      context.isCached = found.isCached;
      return found.ipa;
    },
  });

  return {
    source: source.name,
    async find(spoken) {
      const began = performance.now();
      const folded = fold(spoken);
      if (folded.text === '') return silent;
      const key = keyOf(folded);
      const isThere = cache.peek(key, { allowStale: true }) !== undefined;
      const context: Asked = { spoken: folded, isCached: isThere };
      const ipa = (await cache.fetch(key, { context })) as string;
      if (isThere) telemetry.phonemes.tell({ from: 'memory', code: null, ms: msSince(began) });
      return { ipa, isCached: context.isCached };
    },
    get size() {
      return { entries: cache.size, bytes: cache.calculatedSize };
    },
    close: () => source.close(),
  };
}

type Asked = { readonly spoken: Spoken; isCached: boolean };

const silent: Found = { ipa: '', isCached: true };

/** The same words in another form of Unicode, other case or other spacing sound the same. */
export function fold({ text, lang, mode }: Spoken): Spoken {
  return { text: text.normalize('NFC').trim().replace(/\s+/gu, ' ').toLowerCase(), lang: lang.toLowerCase(), mode };
}

/** Without the text: it may be long, and other processes keep it. */
function keyOf({ text, lang, mode }: Spoken): string {
  return hash('sha256', `${lang}\n${mode}\n${text}`, 'base64url');
}
