import { workerData } from 'piscina';
import { type Conversation, type EventId, type EventRef, parseEventId } from '../event/event.ts';
import type { Outcome, Owner } from '../event/outcome.ts';
import { assertScorer, type Score, type Scorer, type ScoreWeights } from './scorer.ts';

/** What the thread is told at its start. */
export type ThreadSettings = { readonly scorerUrl: string; readonly weights: ScoreWeights };

/** What a thread makes of a message. Failures are data: error classes do not survive the way back. */
export type ScoreReply =
  | { readonly kind: 'done'; readonly eventId: EventId; readonly owner: Owner | null; readonly outcome: Outcome }
  /** The message names an event and leaves something out that scoring needs. */
  | { readonly kind: 'incomplete'; readonly ref: EventRef }
  | { readonly kind: 'not-ours'; readonly reason: 'NOT_JSON' | 'NOT_A_CONVERSATION' };

/** Replies to a group, in its order, and how long it took. */
export type GroupReply = { readonly replies: readonly ScoreReply[]; readonly tookMs: number };

const settings = workerData as ThreadSettings;
const scorer: unknown = ((await import(settings.scorerUrl)) as { default?: unknown }).default;
assertScorer(scorer, settings.scorerUrl);
const scorerName = `${scorer.name}@${scorer.version}`.slice(0, 100);

/** Four decimals, what the columns hold: more would make the sum depend on the order of rounding. */
const precision = 10_000;
const largestChange = 1e9;

/** Thread entry: scores the bodies of a group of messages, one after the other. No body at all only starts the thread. */
export default async function scoreGroup(bodies: readonly Uint8Array[]): Promise<GroupReply> {
  const began = performance.now();
  const replies: ScoreReply[] = [];
  for (const body of bodies) replies.push(await score(body));
  return { replies, tookMs: performance.now() - began };
}

async function score(body: Uint8Array): Promise<ScoreReply> {
  const message = decode(body);
  if (message === null) return { kind: 'not-ours', reason: 'NOT_JSON' };
  const eventId = parseEventId(message['event_id']);
  if (eventId !== null && isComplete(message)) {
    return { kind: 'done', eventId, owner: ownerOf(message), outcome: await attempt(message) };
  }
  if (eventId !== null) return { kind: 'incomplete', ref: { eventId } };
  const conversationId = message['conversation_id'];
  if (typeof conversationId === 'string') return { kind: 'incomplete', ref: { conversationId } };
  return { kind: 'not-ours', reason: 'NOT_A_CONVERSATION' };
}

function decode(body: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return null;
  }
}

/** A user's id and a topic have at most this many characters: what is longer was not published by us. */
const longestId = 255;

function ownerOf(message: Record<string, unknown>): Owner | null {
  const { user_id: userId, agent_tag: topicId } = message;
  if (typeof userId !== 'string' || userId.length > longestId) return null;
  return { userId, topicId: typeof topicId === 'string' && topicId.length <= longestId ? topicId : null };
}

function isComplete(message: Record<string, unknown>): message is Record<string, unknown> & Conversation {
  return Array.isArray(message['conversation_log']) && typeof message['bot_type'] === 'string' && typeof message['start_time'] === 'string';
}

async function attempt(conversation: Conversation): Promise<Outcome> {
  try {
    return toOutcome(await (scorer as Scorer).score(conversation, { weights: settings.weights }));
  } catch (error) {
    const permanent = (error as { permanent?: unknown } | null)?.permanent === true;
    return { kind: 'failed', permanent, code: 'SCORER_FAILED', details: describe(error) };
  }
}

function toOutcome(score: Score | undefined): Outcome {
  const change = Math.round(Number(score?.change) * precision) / precision;
  const totalTurns = score?.totalTurns ?? 0;
  const detailsJson = jsonOf({ ...score?.details, scorer: scorerName });
  if (
    !Number.isFinite(change) ||
    Math.abs(change) > largestChange ||
    !Number.isInteger(totalTurns) ||
    totalTurns < 0 ||
    detailsJson === null
  ) {
    return { kind: 'failed', permanent: true, code: 'SCORER_ANSWER', details: `${scorerName} answered no usable score` };
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
function describe(error: unknown): string {
  const { name, stack } = (error ?? {}) as { name?: unknown; stack?: unknown };
  const kind = typeof name === 'string' && /^\w{1,60}$/.test(name) ? name : typeof error;
  const place = typeof stack === 'string' ? /([\w.-]{1,100}\.[cm]?[jt]s:\d+:\d+)/.exec(stack)?.[1] : undefined;
  return `${scorerName} threw ${kind}${place ? ` at ${place}` : ''}`;
}
