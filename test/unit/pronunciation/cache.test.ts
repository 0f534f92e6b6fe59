import { expect, test, vi } from 'vitest';
import { createPhonemes } from '../../../src/pronunciation/phonemes/cache.ts';
import { NoPhonemes, type SharedCache, type Spoken } from '../../../src/pronunciation/ports.ts';

const mib = 1_048_576;
const say = (text: string, lang = 'en-US', mode = true): Spoken => ({ text, lang, mode });

function setup(options: { maxBytes?: number; ttlMs?: number; shared?: SharedCache | null; id?: string } = {}) {
  const asked: string[] = [];
  const waiting: { text: string; resolve(ipa: string): void; reject(error: Error): void }[] = [];
  const phonemes = createPhonemes({
    source: {
      name: 'test',
      id: options.id ?? 'test',
      lookUp({ text }) {
        asked.push(text);
        return new Promise((resolve, reject) => waiting.push({ text, resolve, reject }));
      },
      close: async () => {},
    },
    shared: options.shared ?? null,
    maxBytes: options.maxBytes ?? mib,
    ttlMs: options.ttlMs ?? 60_000,
  });
  const next = async () => {
    await vi.waitUntil(() => waiting.length > 0);
    return waiting.shift() as (typeof waiting)[number];
  };
  return { phonemes, asked, next, waiting };
}
const down = () => new NoPhonemes('unavailable', 'connection', 'away');

test('a hundred who miss the same text at once make one call, however they write it', async () => {
  const { phonemes, asked, next } = setup();
  const spellings = ['Xin  chào', ' xin chào ', 'XIN CHÀO', 'xin chào'.normalize('NFD')];
  const all = Array.from({ length: 100 }, (_, i) => phonemes.find(say(spellings[i % 4] ?? '', 'vi')));
  (await next()).resolve('sin tʃaːw');
  for (const found of await Promise.all(all)) expect(found).toEqual({ ipa: 'sin tʃaːw', isCached: false });
  expect(asked).toEqual(['Xin chào']);
  expect(await phonemes.find(say('xin chào', 'VI'))).toEqual({ ipa: 'sin tʃaːw', isCached: true });
});

test('language and mode make another key', async () => {
  const { phonemes, asked, next } = setup();
  for (const spoken of [say('chat', 'en'), say('chat', 'fr'), say('chat', 'en', false)]) {
    const found = phonemes.find(spoken);
    (await next()).resolve(`${spoken.lang}${spoken.mode}`);
    expect((await found).ipa).toBe(`${spoken.lang}${spoken.mode}`);
  }
  expect(asked).toHaveLength(3);
});

test('failures are not kept', async () => {
  const { phonemes, asked, next } = setup();
  const first = phonemes.find(say('cat'));
  (await next()).reject(down());
  await expect(first).rejects.toThrow('away');
  const second = phonemes.find(say('cat'));
  (await next()).resolve('kæt');
  expect(await second).toEqual({ ipa: 'kæt', isCached: false });
  expect(asked).toHaveLength(2);
});

test('what is old is answered once more while it is renewed, and stays while it cannot be', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const { phonemes, next, waiting } = setup({ ttlMs: 20 });
  const first = phonemes.find(say('cat'));
  (await next()).resolve('old');
  await first;
  const old = async (ipa: string) => {
    // The cache looks at the time of the system.
    await vi.waitFor(async () => {
      expect(await phonemes.find(say('cat'))).toEqual({ ipa, isCached: true });
      expect(waiting).toHaveLength(1);
    });
  };
  await old('old');
  (await next()).reject(down());
  await old('old');
  (await next()).resolve('new');
  await vi.waitFor(async () => expect((await phonemes.find(say('cat'))).ipa).toBe('new'));
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

test('it never holds more than it may', async () => {
  const phonemes = createPhonemes({
    source: { name: 'test', id: 'test', lookUp: async ({ text }) => text.repeat(5), close: async () => {} },
    shared: null,
    maxBytes: 100_000,
    ttlMs: 60_000,
  });
  for (let i = 0; i < 5_000; i++) await phonemes.find(say(`sentence number ${i}`));
  expect(phonemes.size.bytes).toBeLessThanOrEqual(100_000);
  expect(phonemes.size.entries).toBeGreaterThan(100);
  expect((await phonemes.find(say('sentence number 4999'))).isCached).toBe(true);
  expect((await phonemes.find(say('sentence number 0'))).isCached).toBe(false);
});

test('switched off, every text is looked up', async () => {
  const { phonemes, asked, next } = setup({ maxBytes: 0 });
  for (let i = 0; i < 2; i++) {
    const found = phonemes.find(say('cat'));
    (await next()).resolve('kæt');
    expect(await found).toEqual({ ipa: 'kæt', isCached: false });
  }
  expect(asked).toHaveLength(2);
});

test('nothing has no phonemes, and needs no look-up', async () => {
  const { phonemes, asked } = setup();
  expect((await phonemes.find(say('  \n'))).ipa).toBe('');
  expect(asked).toEqual([]);
});

test('what another process knows is not looked up; a shared cache that fails does no harm', async () => {
  const kept = new Map<string, string>();
  const shared: SharedCache = {
    get: async (key) => kept.get(key) ?? null,
    set: async (key, ipa) => void kept.set(key, ipa),
  };
  const one = setup({ shared });
  const first = one.phonemes.find(say('cat'));
  (await one.next()).resolve('kæt');
  await first;
  const other = setup({ shared });
  expect(await other.phonemes.find(say('Cat '))).toEqual({ ipa: 'kæt', isCached: true });
  expect(other.asked).toEqual([]);
  expect([...kept.keys()].join()).not.toContain('cat');

  const elsewhere = setup({ shared, id: 'another source' });
  const own = elsewhere.phonemes.find(say('cat'));
  (await elsewhere.next()).resolve('k a t');
  expect((await own).ipa).toBe('k a t');

  const fails = async () => Promise.reject(new Error('away'));
  const alone = setup({ shared: { get: fails, set: fails } });
  const found = alone.phonemes.find(say('cat'));
  (await alone.next()).resolve('kæt');
  expect((await found).ipa).toBe('kæt');
});
