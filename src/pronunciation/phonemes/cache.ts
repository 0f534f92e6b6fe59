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
      telemetry.phonemes.tell({ from: 'redis', code: null, ms: msSince(began) });
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
        const asked = tidy(spoken);
        return asked.text === '' ? silent : fetch(keyOf(source.id, asked), asked);
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
      const asked = tidy(spoken);
      if (asked.text === '') return silent;
      const key = keyOf(source.id, asked);
      const isThere = cache.peek(key, { allowStale: true }) !== undefined;
      const context: Asked = { spoken: asked, isCached: isThere };
      const ipa = (await cache.fetch(key, { context })) as string;
      if (isThere) telemetry.phonemes.tell({ from: 'cache', code: null, ms: msSince(began) });
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

/** The same words in another form of Unicode or with other spacing are asked for only once. */
function tidy({ text, lang, mode }: Spoken): Spoken {
  return { text: text.normalize('NFC').trim().replace(/\s+/gu, ' '), lang, mode };
}

/** What sounds the same has the same: case makes no difference. */
export function soundOf({ text, lang, mode }: Spoken): string {
  return `${lang.toLowerCase()}\n${mode}\n${tidy({ text, lang, mode }).text.toLowerCase()}`;
}

/** Without the text: it may be long, and other processes keep it. */
function keyOf(source: string, spoken: Spoken): string {
  return hash('sha256', `${source}\n${soundOf(spoken)}`, 'base64url');
}
