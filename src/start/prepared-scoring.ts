import { NoAnalysis } from '../analysis/ports.ts';
import type { Conversation, ConversationText } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import type { Outcome } from '../event/outcome.ts';
import { NoPhonemes } from '../pronunciation/ports.ts';

/** Adds to a conversation what is found out before it is scored: on the event loop, outside any transaction. */
export type Preparation = {
  text(text: ConversationText): Promise<ConversationText>;
  conversation(conversation: Conversation): Promise<Conversation>;
};

/**
 * Scores after all preparations; if one of them cannot be done now, the attempt fails as transient.
 *
 * @param options.giveUp  aborted when the drain is over: the delivery then goes back to the queue, and nothing that
 *   comes later may be settled. The scoring then throws {PipelineError} transient.
 */
export function preparedScore(
  preparations: readonly Preparation[],
  score: (text: ConversationText) => Promise<Outcome>,
  { giveUp }: { readonly giveUp: AbortSignal },
): (text: ConversationText) => Promise<Outcome> {
  if (preparations.length === 0) return score;
  return async (text) => {
    let prepared = text;
    try {
      for (const preparation of preparations) prepared = await unlessAborted(preparation.text(prepared), giveUp);
    } catch (error) {
      if (giveUp.aborted) throw drained();
      return { kind: 'failed', permanent: false, code: codeOf(error), details: (error as Error).message };
    }
    return score(prepared);
  };
}

/** The same for a dry run. @throws {PipelineError} transient. */
export async function prepare(preparations: readonly Preparation[], conversation: Conversation): Promise<Conversation> {
  let prepared = conversation;
  try {
    for (const preparation of preparations) prepared = await preparation.conversation(prepared);
  } catch (error) {
    throw new PipelineError('transient', codeOf(error), (error as Error).message, { cause: error });
  }
  return prepared;
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {}); // it may fail when nobody waits any more
  if (signal.aborted) throw drained();
  const over = Promise.withResolvers<never>();
  const onAbort = () => over.reject(drained());
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function drained(): PipelineError {
  return new PipelineError('transient', 'DRAINED', 'the drain is over');
}

function codeOf(error: unknown): string {
  if (error instanceof NoPhonemes) return 'PHONEMES_UNAVAILABLE';
  if (error instanceof NoAnalysis) return 'ANALYSER_UNAVAILABLE';
  throw error;
}
