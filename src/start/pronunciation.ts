import type { Config } from '../config.ts';
import type { createAssess, createEnrich, Phonemes } from '../pronunciation/index.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import type { Preparation } from './prepared-scoring.ts';

type Parts = {
  readonly phonemes: Phonemes;
  readonly assess: ReturnType<typeof createAssess>;
  readonly enrich: ReturnType<typeof createEnrich>;
  readonly gauge: Gauge;
};

export type Pronunciation = {
  readonly open: () => Promise<Parts>;
  readonly gauge: Gauge;
  /** Of the cache in this process. */
  readonly cacheSize: () => Phonemes['size'];
  readonly close: () => Promise<void>;
};

/** Opened when it is first needed: a process that compares nothing does without its packages and connections. */
export function startPronunciation(config: Config, log: Logger): Pronunciation {
  let opening: Promise<Parts & { close(): Promise<void> }> | null = null;
  let opened: Parts | null = null;
  return {
    async open() {
      opening ??= openParts(config, log).catch((error: unknown) => {
        opening = null; // the next use tries again
        throw error;
      });
      opened = await opening;
      return opened;
    },
    gauge: { name: 'phoneme_calls', bound: 1_000, held: () => opened?.gauge.held() ?? 0 },
    cacheSize: () => opened?.phonemes.size ?? { entries: 0, bytes: 0 },
    close: async () => (await opening?.catch(() => null))?.close(),
  };
}

async function openParts(config: Config, log: Logger): Promise<Parts & { close(): Promise<void> }> {
  const { createAssess, createEnrich, createPhonemes, espeak, phonemeService } = await import(
    '../pronunciation/index.ts'
  );
  const { phonemeUrl, redisUrl, phonemeCacheTtlMs: ttlMs } = config;
  const source =
    phonemeUrl === null
      ? espeak()
      : phonemeService({
          url: phonemeUrl,
          connections: config.phonemeConnections,
          deadlineMs: config.phonemeTimeoutMs,
          batchWaitMs: config.phonemeBatchWaitMs,
          log,
        });
  const shared =
    redisUrl === null || config.phonemeCacheBytes === 0
      ? null
      : (await import('../redis/index.ts')).sharedPhonemes({
          ...{ url: redisUrl, ttlMs, log },
          name: `afterword-phonemes-${process.pid}`,
        });
  const phonemes = createPhonemes({ source, shared, ttlMs, maxBytes: config.phonemeCacheBytes });
  const compare = config.pronunciationCompare;
  log.info(`phonemes come from ${phonemeUrl === null ? 'espeak-ng' : 'PHONEME_URL'}`);
  return {
    phonemes,
    gauge: source.gauge,
    assess: createAssess(phonemes, compare),
    enrich: createEnrich({
      ...{ phonemes, compare },
      lang: config.pronunciationLang,
      deadlineMs: config.scoringTimeoutMs,
    }),
    async close() {
      await phonemes.close();
      await shared?.close();
    },
  };
}

/** Says at the start what would otherwise fail with the first event: nothing is there to be asked. */
export async function tryPronunciation(config: Config, pronunciation: Pronunciation, log: Logger): Promise<void> {
  if (!config.scoresPronunciation) return;
  try {
    const { phonemes } = await pronunciation.open();
    await phonemes.find({ text: 'hello', lang: config.pronunciationLang, mode: true });
  } catch (error) {
    const reason = (error as Error).message;
    if ((error as { kind?: unknown }).kind === 'refused')
      log.warn({ reason }, 'texts in PRONUNCIATION_LANG are refused: conversations are scored without pronunciation');
    else log.warn({ reason }, 'no phonemes: conversations with a target_text cannot be scored until there are');
  }
}

/** With `PRONUNCIATION_SCORING=on`, what was said is compared before it is scored. */
export function pronunciationSteps({ scoresPronunciation }: Config, pronunciation: Pronunciation): Preparation[] {
  if (!scoresPronunciation) return [];
  const enrich = async () => (await pronunciation.open()).enrich;
  return [
    {
      text: async (text) => (await enrich()).text(text),
      conversation: async (conversation) => (await enrich()).conversation(conversation),
    },
  ];
}
