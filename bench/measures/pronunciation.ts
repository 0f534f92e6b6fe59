/** Comparing pronunciations through an API, against a phoneme service on this machine that takes 900 ms. */

import { createPhonemes } from '../../src/pronunciation/phonemes/cache.ts';
import { compare, similarity } from '../../src/pronunciation/similarity/compare.ts';
import { collectGarbage } from '../../src/runtime/collect-garbage.ts';
import { call } from '../../test/support/client.ts';
import { startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { startPhonemeServer } from '../../test/support/phoneme-server.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Subject } from '../lib/rounds.ts';
import { percentile } from '../lib/stats.ts';

const lookUpMs = 900;
const path = '/v1/pronunciation/similarity';
const options = { stress: false, length: true, byClass: false };
/** Espeak-ng's of two sentences of eleven words. */
const sentences = [
  'ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ ænd ɹˈʌnz ɐwˈeɪ',
  'də kwˈɪk bɹˈaʊn fˈɑːk dʒˈʌmpt ˌoʊvɚ də lˈeɪdi dˈɔːɡ ænd ɹˈæn ɐwˈeɪ',
] as const;

export function pronunciationSubjects(urls: Urls): Subject[] {
  return [
    { name: 'through an API', round: () => throughApi(urls) },
    { name: 'a million texts', round: millionTexts },
    { name: 'comparisons', round: comparisons },
  ];
}

async function throughApi(urls: Urls): Promise<Record<string, number>> {
  await using server = await startPhonemeServer({ delayMs: lookUpMs });
  const space = await createNamespace(urls, { LOG_LEVEL: 'warn', PHONEME_URL: server.url });
  const api = await startMember('api', space.env);
  const took = async (text_1: string, text_2: string) => {
    const began = performance.now();
    const { status } = await call(api.url, 'POST', path, { text_1, text_2 });
    if (status !== 200) throw new Error(`answered ${status}`);
    return performance.now() - began;
  };
  await took('opens', 'opens');
  const one = await took('one alone', 'one alone');
  const two = await took('first of two', 'second of two');

  const before = server.asked.length;
  await Promise.all(Array.from({ length: 100 }, () => took('the same for all', 'the same for all')));
  const callsOfHundred = server.asked.length - before;

  // Each has one text that nobody has looked up.
  const connected = server.connections;
  const began = performance.now();
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => i).map((i) => took('one alone', `number ${letters(i)}`)));
  const seconds = (performance.now() - began) / 1_000;

  const cached: number[] = [];
  for (let i = 0; i < 2_000; i++) cached.push(await took('first of two', 'second of two'));
  await api.stop();
  await space.dispose();
  return {
    'one look-up ms': one,
    'two look-ups ms': two,
    'two / one': two / one,
    'calls for 100 at once': callsOfHundred,
    'connections per 1,000': server.connections - connected,
    'uncached /s': 1_000 / seconds,
    'cached p50 ms': percentile(cached, 0.5),
    'cached p99 ms': percentile(cached, 0.99),
  };
}

/** The heap after as many as fit, and after a million. */
async function millionTexts(): Promise<Record<string, number>> {
  const maxBytes = 16 * 1_048_576;
  const phonemes = createPhonemes({
    source: { name: 'bench', id: 'bench', lookUp: async ({ text }) => `${text} ipa`, close: async () => {} },
    shared: null,
    maxBytes,
    ttlMs: 3_600_000,
  });
  const heap = () => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 1_048_576;
  };
  const empty = heap();
  const fill = async (from: number, to: number) => {
    for (let i = from; i < to; i++) await phonemes.find({ text: `sentence number ${i}`, lang: 'en-US', mode: true });
  };
  await fill(0, 100_000);
  const full = heap();
  await fill(100_000, 1_000_000);
  const after = heap();
  return {
    'heap MiB at 100,000': full - empty,
    'heap MiB at 1,000,000': after - empty,
    'kept MiB': phonemes.size.bytes / 1_048_576,
    'bound MiB': maxBytes / 1_048_576,
    entries: phonemes.size.entries,
  };
}

async function comparisons(): Promise<Record<string, number>> {
  const perSecond = (work: () => unknown) => {
    for (let i = 0; i < 2_000; i++) work();
    const began = performance.now();
    let n = 0;
    for (; performance.now() - began < 1_000; n++) work();
    return (n * 1_000) / (performance.now() - began);
  };
  return {
    'with alignment /s': perSecond(() => compare(sentences[0], sentences[1], options)),
    'distance alone /s': perSecond(() => similarity(sentences[0], sentences[1], options)),
  };
}

/** Numbers are no words to the service. */
function letters(n: number): string {
  return String(n).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '');
}
