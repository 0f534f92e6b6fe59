import * as z from 'zod';
import { gather } from '../../runtime/gather.ts';
import type { Gauge } from '../../runtime/gauge.ts';
import type { Logger } from '../../runtime/log.ts';
import { createRemote, RemoteError } from '../../runtime/remote/remote.ts';
import { telemetry } from '../../runtime/telemetry.ts';
import { NoPhonemes, type PhonemeSource, type Spoken } from '../ports.ts';

/** Far more than the longest text has. */
const ipa = z.string().max(8_000);
const single = z.object({ ipa });
/** Of one call, by the contract. */
const mostTexts = 10;
/** In the order of the texts; null: this one is refused. */
const batch = z.object({ ipa: z.array(ipa.nullable()) });

/**
 * A service that knows phonemes: `POST {text, lang, mode}` → `{ipa}`, or with batches `POST {texts, lang, mode}` →
 * `{ipa: [...]}` in the same order.
 */
export function phonemeService(options: {
  readonly url: string;
  readonly connections: number;
  readonly deadlineMs: number;
  /** Null: one call a text. */
  readonly batchWaitMs: number | null;
  readonly openMs?: number;
  readonly log: Logger;
}): PhonemeSource & { readonly gauge: Gauge } {
  const { batchWaitMs, ...more } = options;
  const remote = createRemote({
    ...more,
    name: 'the phoneme service',
    gauge: 'phoneme_calls',
    onCircuit: (isOpen) => telemetry.phonemeCircuit.tell({ isOpen }),
  });

  const lookUpOne = async (spoken: Spoken) => (await remote.post(spoken, (answer) => single.parse(answer))).ipa;

  async function lookUpAll(all: readonly Spoken[]): Promise<PromiseSettledResult<string | null>[]> {
    try {
      return (await lookUpTogether(all)).map((value) => ({ status: 'fulfilled', value }));
    } catch (error) {
      if (!isRefused(error) || all.length === 1) throw error;
      // One of them is refused, and must not cost the others; nor must one that then gets no answer.
      return Promise.allSettled(all.map(async (one) => (await lookUpTogether([one]))[0] ?? null));
    }
  }

  async function lookUpTogether(all: readonly Spoken[]): Promise<readonly (string | null)[]> {
    const [{ lang, mode } = { lang: '', mode: true }] = all;
    const texts = all.map(({ text }) => text);
    const { ipa } = await remote.post({ texts, lang, mode }, (answer) => {
      const parsed = batch.parse(answer);
      if (parsed.ipa.length !== texts.length) throw new Error('another number of answers than of texts');
      return parsed;
    });
    return ipa;
  }
  const gathered =
    batchWaitMs === null
      ? null
      : gather(lookUpAll, { most: mostTexts, waitMs: batchWaitMs, kindOf: ({ lang, mode }) => `${lang} ${mode}` });

  return {
    name: 'service',
    id: idOf(options.url),
    gauge: remote.gauge,
    async lookUp(spoken) {
      try {
        if (gathered === null) return await lookUpOne(spoken);
        const result = await gathered(spoken);
        if (result.status === 'rejected') throw result.reason;
        if (result.value === null)
          throw new NoPhonemes('refused', 'refused', 'the phoneme service does not take this text');
        return result.value;
      } catch (error) {
        if (!(error instanceof RemoteError)) throw error;
        throw new NoPhonemes(isRefused(error) ? 'refused' : 'unavailable', error.reason, error.message, {
          cause: error,
        });
      }
    },
    close: () => remote.close(),
  };
}

function isRefused(error: unknown): boolean {
  return error instanceof RemoteError && error.reason === 'refused';
}

/** Without what is secret. */
function idOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
