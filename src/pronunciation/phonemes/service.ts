import * as z from 'zod';
import type { Gauge } from '../../runtime/gauge.ts';
import type { Logger } from '../../runtime/log.ts';
import { createRemote, RemoteError } from '../../runtime/remote/remote.ts';
import { telemetry } from '../../runtime/telemetry.ts';
import { NoPhonemes, type PhonemeSource, type Spoken } from '../ports.ts';
import { gather } from './gather.ts';

const single = z.object({ ipa: z.string() });
/** In the order of the texts; null: this one is refused. */
const batch = z.object({ ipa: z.array(z.string().nullable()) });

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
    name: 'phonemes',
    onCircuit: (isOpen) => telemetry.phonemeCircuit.tell({ isOpen }),
  });

  async function lookUpAll(texts: readonly string[], { lang, mode }: Omit<Spoken, 'text'>) {
    const { ipa } = await remote.post({ texts, lang, mode }, (answer) => {
      const parsed = batch.parse(answer);
      if (parsed.ipa.length !== texts.length) throw new Error('another number of answers than of texts');
      return parsed;
    });
    return ipa;
  }
  const gathered = batchWaitMs === null ? null : gather(lookUpAll, { waitMs: batchWaitMs });

  return {
    name: 'service',
    gauge: remote.gauge,
    async lookUp(spoken) {
      try {
        if (gathered === null) return (await remote.post(spoken, (answer) => single.parse(answer))).ipa;
        const ipa = await gathered(spoken);
        if (ipa === null) throw new NoPhonemes('refused', 'refused', 'the phoneme service does not take this text');
        return ipa;
      } catch (error) {
        if (!(error instanceof RemoteError)) throw error;
        throw new NoPhonemes(error.reason === 'refused' ? 'refused' : 'unavailable', error.reason, error.message, {
          cause: error,
        });
      }
    },
    close: () => remote.close(),
  };
}
