import { type Conversation, type EventId, type EventRef, parseEventId } from '../event/event.ts';
import type { Outcome, Owner } from '../event/outcome.ts';
import type { Score, ScoreContext, Scorer } from './scorer.ts';

/** What a thread makes of a message. Failures are data: error classes do not survive the way back. */
export type ScoreReply =
  | { readonly kind: 'done'; readonly eventId: EventId; readonly owner: Owner | null; readonly outcome: Outcome }
  /** The message names an event and leaves something out that scoring needs. */
  | { readonly kind: 'incomplete'; readonly ref: EventRef }
  | { readonly kind: 'not-ours'; readonly reason: 'NOT_JSON' | 'NOT_A_CONVERSATION' };

/** A scoring whose scorer has answered with a promise. */
export type Pending = {
  /** Never rejects. */
  readonly outcome: Promise<Outcome>;
  /** The reply that an outcome makes. */
  readonly replyWith: (outcome: Outcome) => ScoreReply;
};

/** Four decimals, what the columns hold: more would make the sum depend on the order of rounding. */
const precision = 10_000;
const largestChange = 1e9;
/** A user's id and a topic have at most this many characters: what is longer was not published by us. */
const longestId = 255;

/** Scores a message body. @returns the reply if the scorer answers at once, or if the message needs no scorer. */
export function scoreMessage(scorer: Scorer, body: Uint8Array, context: ScoreContext): ScoreReply | Pending {
  const message = decode(body);
  if (message === null) return { kind: 'not-ours', reason: 'NOT_JSON' };
  const eventId = parseEventId(message['event_id']);
  if (eventId !== null && isComplete(message)) {
    const owner = ownerOf(message);
    const replyWith = (outcome: Outcome): ScoreReply => ({ kind: 'done', eventId, owner, outcome });
    const outcome = callScorer(scorer, message, context);
    return outcome instanceof Promise ? { outcome, replyWith } : replyWith(outcome);
  }
  if (eventId !== null) return { kind: 'incomplete', ref: { eventId } };
  const conversationId = message['conversation_id'];
  if (typeof conversationId === 'string') return { kind: 'incomplete', ref: { conversationId } };
  return { kind: 'not-ours', reason: 'NOT_A_CONVERSATION' };
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

/** The outcome of a scoring that was told to end and did, or did not. */
export function tookTooLong(scorerName: string, how: string): Outcome {
  return { kind: 'failed', permanent: false, code: 'SCORING_TIMEOUT', details: `${scorerName} ${how}` };
}

function failure(scorer: Scorer, error: unknown, signal: AbortSignal): Outcome {
  // After the abort any error counts as the timeout: it usually is the AbortError itself.
  if (signal.aborted) return tookTooLong(nameOf(scorer), 'was stopped at its deadline');
  const permanent = (error as { permanent?: unknown } | null)?.permanent === true;
  return { kind: 'failed', permanent, code: 'SCORER_FAILED', details: describe(scorer, error) };
}

function decode(body: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return null;
  }
}

function ownerOf(message: Record<string, unknown>): Owner | null {
  const { user_id: userId, agent_tag: topicId } = message;
  if (typeof userId !== 'string' || userId.length > longestId) return null;
  return { userId, topicId: typeof topicId === 'string' && topicId.length <= longestId ? topicId : null };
}

function isComplete(message: Record<string, unknown>): message is Record<string, unknown> & Conversation {
  return Array.isArray(message['conversation_log']) && typeof message['bot_type'] === 'string' && typeof message['start_time'] === 'string';
}

function toOutcome(scorer: Scorer, score: Score | undefined): Outcome {
  const change = Math.round(Number(score?.change) * precision) / precision;
  const totalTurns = score?.totalTurns ?? 0;
  const detailsJson = jsonOf({ ...score?.details, scorer: nameOf(scorer) });
  if (
    !Number.isFinite(change) ||
    Math.abs(change) > largestChange ||
    !Number.isInteger(totalTurns) ||
    totalTurns < 0 ||
    detailsJson === null
  ) {
    return { kind: 'failed', permanent: true, code: 'SCORER_ANSWER', details: `${nameOf(scorer)} answered no usable score` };
  }
  return { kind: 'scored', change, totalTurns, detailsJson };
}

/** @returns null for what JSON cannot hold: circles, BigInt. */
function jsonOf(value: object): string | null {
  try {
    return JSON.stringify(value);
  } catch {
    return null;
  }
}

/** Kind and place of an error, never its message: that may quote the conversation, and so may a name that is no plain word. */
function describe(scorer: Scorer, error: unknown): string {
  const { name, stack } = (error ?? {}) as { name?: unknown; stack?: unknown };
  const kind = typeof name === 'string' && /^\w{1,60}$/.test(name) ? name : typeof error;
  const place = typeof stack === 'string' ? /([\w.-]{1,100}\.[cm]?[jt]s:\d+:\d+)/.exec(stack)?.[1] : undefined;
  return `${nameOf(scorer)} threw ${kind}${place ? ` at ${place}` : ''}`;
}
