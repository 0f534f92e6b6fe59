import type { Config } from '../config.ts';
import type { Conversation, ConversationText } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import type { Outcome } from '../event/outcome.ts';
import type { createAssess, createEnrich, Phonemes } from '../pronunciation/index.ts';
import { NoPhonemes } from '../pronunciation/ports.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';

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
      opening ??= openParts(config, log);
      opened = await opening;
      return opened;
    },
    gauge: { name: 'phoneme_calls', bound: 1_000, held: () => opened?.gauge.held() ?? 0 },
    cacheSize: () => opened?.phonemes.size ?? { entries: 0, bytes: 0 },
    close: async () => (await opening)?.close(),
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
          ...{ url: redisUrl, ttlMs },
          name: `afterword-phonemes-${process.pid}`,
        });
  const phonemes = createPhonemes({ source, shared, ttlMs, maxBytes: config.phonemeCacheBytes });
  const compare = config.pronunciationCompare;
  log.info({ source: source.name }, 'comparing pronunciations');
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

/** With `PRONUNCIATION_SCORING=on`, compares what was said before it is scored; without phonemes, the attempt fails. */
export function scoreWithPronunciation(
  { scoresPronunciation }: Config,
  pronunciation: Pronunciation,
  score: (text: ConversationText) => Promise<Outcome>,
): (text: ConversationText) => Promise<Outcome> {
  if (!scoresPronunciation) return score;
  return async (text) => {
    const { enrich } = await pronunciation.open();
    const enriched = await enrich.text(text).catch((error: unknown) => toOutcome(error));
    return 'kind' in enriched ? enriched : score(enriched);
  };
}

/** The same for a dry run. @throws {PipelineError} transient, without phonemes. */
export function dryRunWithPronunciation<T>(
  { scoresPronunciation }: Config,
  pronunciation: Pronunciation,
  score: (conversation: Conversation) => Promise<T>,
): (conversation: Conversation) => Promise<T> {
  if (!scoresPronunciation) return score;
  return async (conversation) => {
    const { enrich } = await pronunciation.open();
    const enriched = await enrich.conversation(conversation).catch((error: unknown) => {
      const { code, details } = toOutcome(error);
      throw new PipelineError('transient', code, details, { cause: error });
    });
    return score(enriched);
  };
}

function toOutcome(error: unknown): Extract<Outcome, { kind: 'failed' }> {
  if (!(error instanceof NoPhonemes)) throw error;
  return { kind: 'failed', permanent: false, code: 'PHONEMES_UNAVAILABLE', details: error.message };
}
