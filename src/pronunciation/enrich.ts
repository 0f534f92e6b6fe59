import pLimit from 'p-limit';
import {
  type Conversation,
  type ConversationText,
  logOf,
  maxTargetLength,
  type Pronunciation,
  type Turn,
  withField,
} from '../event/conversation.ts';
import type { Phonemes } from './phonemes/cache.ts';
import { NoPhonemes } from './ports.ts';
import { type CompareOptions, similarity } from './similarity/compare.ts';

export type Enrich = {
  text(text: ConversationText): Promise<ConversationText>;
  conversation(conversation: Conversation): Promise<Conversation>;
};

const marker = Buffer.from('"target_text"');
/** Of one conversation, which may have two thousand: the others that are scored meanwhile get their turn. */
const itemsAtOnce = 10;

/**
 * Adds to a conversation how alike what the user said is to what they were asked to say, for the items that have a
 * `target_text`. Waits for phonemes on the event loop; the bytes of a conversation without such an item are only looked
 * through. Items whose text is refused, or far longer than a sentence, are left out.
 *
 * Both throw {NoPhonemes} unavailable, also if it takes longer than `deadlineMs`: the attempt may be repeated.
 */
export function createEnrich(options: {
  readonly phonemes: Pick<Phonemes, 'find'>;
  readonly compare: CompareOptions;
  readonly lang: string;
  readonly deadlineMs: number;
}): Enrich {
  const { phonemes, lang, deadlineMs } = options;

  async function assess({ turn_id, text, target_text }: Turn): Promise<Pronunciation['items'][number] | null> {
    const find = (one: string) => phonemes.find({ text: one, lang, mode: true });
    try {
      const [asked, said] = await Promise.all([find(target_text as string), find(text)]);
      return { turn_id, similarity: round(similarity(asked.ipa, said.ipa, options.compare)) };
    } catch (error) {
      if (error instanceof NoPhonemes && error.kind === 'refused') return null;
      throw error;
    }
  }

  async function assessAll(log: readonly Turn[]): Promise<Pronunciation | null> {
    const limit = pLimit(itemsAtOnce);
    const deadline = AbortSignal.timeout(deadlineMs);
    let hasFailed = false;
    const asked = log.filter(isComparable);
    const assessed = await within(
      Promise.all(
        asked.map((turn) =>
          limit(() => {
            if (deadline.aborted || hasFailed) throw late(deadlineMs);
            return assess(turn).catch((error: unknown) => {
              hasFailed = true; // the attempt fails: the rest would be looked up for nothing
              throw error;
            });
          }),
        ),
      ),
      deadline,
      () => late(deadlineMs),
    );
    const items = assessed.filter((item) => item !== null);
    if (items.length === 0) return null;
    return { items, mean: round(items.reduce((sum, item) => sum + item.similarity, 0) / items.length) };
  }

  return {
    async text(text) {
      const log = logOf(text);
      const bytes = Buffer.from(log.buffer, log.byteOffset, log.byteLength);
      if (!bytes.includes(marker)) return text;
      const pronunciation = await assessAll(JSON.parse(bytes.toString()) as Turn[]);
      return pronunciation === null ? text : withField(text, 'pronunciation', pronunciation);
    },
    async conversation(conversation) {
      const pronunciation = await assessAll(conversation.conversation_log);
      return pronunciation === null ? conversation : { ...conversation, pronunciation };
    },
  };
}

/** Speech recognition may hear minutes where a sentence was to be repeated; a target has a limit already. */
function isComparable({ target_text, text }: Turn): boolean {
  return target_text !== undefined && text.length <= 2 * maxTargetLength;
}

/** Rejects with `failure()` if the signal fires first. */
async function within<T>(work: Promise<T>, signal: AbortSignal, failure: () => Error): Promise<T> {
  const over = Promise.withResolvers<never>();
  const onAbort = () => over.reject(failure());
  signal.addEventListener('abort', onAbort, { once: true });
  work.catch(() => {}); // it may fail when nobody waits any more
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function late(ms: number): NoPhonemes {
  return new NoPhonemes('unavailable', 'timeout', `phonemes were not found within ${ms} ms`);
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
