import type { Conversation } from '../event/conversation.ts';
import type { Outcome } from '../event/outcome.ts';
import { checkScore } from './checked-score.ts';
import type { Score, ScoreContext, Scorer } from './scorer.ts';

/**
 * Scores a conversation. Failures are returned as data, because error classes do not survive a transfer between
 * threads.
 *
 * @param text  JSON text of a `Conversation`.
 * @returns the outcome if the scorer answers synchronously, else a promise of it that never rejects.
 */
export function scoreConversation(scorer: Scorer, text: Uint8Array, context: ScoreContext): Outcome | Promise<Outcome> {
  let conversation: Conversation;
  try {
    conversation = JSON.parse(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString()) as Conversation;
  } catch {
    return { kind: 'failed', permanent: true, code: 'LOG_UNREADABLE', details: 'the stored log is not JSON' };
  }
  return callScorer(scorer, conversation, context);
}

/** The name under which a scorer appears in details and errors. */
export function nameOf(scorer: Scorer): string {
  return `${scorer.name}@${scorer.version}`.slice(0, 100);
}

function callScorer(scorer: Scorer, conversation: Conversation, context: ScoreContext): Outcome | Promise<Outcome> {
  try {
    const score = scorer.score(conversation, context);
    if (!isThenable(score)) return toOutcome(scorer, score);
    return Promise.resolve(score)
      .then((made) => toOutcome(scorer, made))
      .catch((error: unknown) => failure(scorer, error, context.signal));
  } catch (error) {
    return failure(scorer, error, context.signal);
  }
}

function isThenable(value: unknown): value is PromiseLike<Score> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** The outcome of a scoring that exceeded its deadline; `how` says whether it heeded the abort. */
export function tookTooLong(scorerName: string, how: string): Outcome {
  return { kind: 'failed', permanent: false, code: 'SCORING_TIMEOUT', details: `${scorerName} ${how}` };
}

function failure(scorer: Scorer, error: unknown, signal: AbortSignal): Outcome {
  // After the abort any error counts as the timeout: it usually is the AbortError itself.
  if (signal.aborted) return tookTooLong(nameOf(scorer), 'was stopped at its deadline');
  const permanent = (error as { permanent?: unknown } | null)?.permanent === true;
  return { kind: 'failed', permanent, code: 'SCORER_FAILED', details: describe(scorer, error) };
}

function toOutcome(scorer: Scorer, answer: unknown): Outcome {
  const name = nameOf(scorer);
  const checked = checkScore(answer, name);
  if ('problem' in checked)
    return { kind: 'failed', permanent: true, code: 'SCORER_ANSWER', details: `${name}: ${checked.problem}` };
  return { kind: 'scored', ...checked };
}

/**
 * Kind and location of an error, never its message, which may quote the conversation. A name that is not a plain word
 * might too, and is left out.
 */
function describe(scorer: Scorer, error: unknown): string {
  const { name, stack } = (error ?? {}) as { name?: unknown; stack?: unknown };
  const kind = typeof name === 'string' && /^\w{1,60}$/.test(name) ? name : typeof error;
  const place = typeof stack === 'string' ? /([\w.-]{1,100}\.[cm]?[jt]s:\d+:\d+)/.exec(stack)?.[1] : undefined;
  return `${nameOf(scorer)} threw ${kind}${place ? ` at ${place}` : ''}`;
}
