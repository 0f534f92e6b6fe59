import type { Conversation } from '../event/conversation.ts';

/** Points of the friendship rules; from configuration, so that a scorer need not read the environment. */
export type ScoreWeights = {
  readonly turn: number;
  readonly question: number;
  readonly interesting: number;
  readonly boring: number;
  readonly memory: number;
};

/**
 * What a scorer answers. `change` is added to the user's friendship score: finite, within ±10⁹, at most four decimals
 * are kept. `details` is stored and returned to callers as it is (at most 64 KiB of JSON); it must not repeat what was
 * said. An answer that is none of this fails the event for good (`SCORER_ANSWER`), with what was wrong in its error.
 */
export type Score = {
  readonly change: number;
  /** Complete turns, added up per topic. Default 0. */
  readonly totalTurns?: number;
  readonly details: Readonly<Record<string, unknown>>;
};

export type ScoreContext = {
  readonly weights: ScoreWeights;
  /**
   * Aborts when this scoring has run for `SCORING_TIMEOUT_MS` (a `TimeoutError`), and when the worker gives up at the
   * end of its drain (an `AbortError`). Pass it on to whatever is waited for, for example `fetch(url, { signal })`: a
   * scoring that ends within a second of the abort costs only its own attempt, one that goes on costs the thread it
   * runs in.
   */
  readonly signal: AbortSignal;
};

/**
 * A plug-in that scores conversations: the default export of the module named by `SCORER_MODULE`.
 *
 * Runs in a scoring thread, and may use the CPU or wait. While one scoring waits, its thread works on others: `score`
 * is called again before an earlier call has settled, so what it keeps outside of its own variables is shared. It must
 * be deterministic in effect: an event may be scored more than once (its result counts once). Throwing fails the
 * attempt, which is tried again later; an error with `permanent: true` fails the event for good. A scorer never answers
 * zero because it failed.
 */
export type Scorer = {
  readonly name: string;
  readonly version: string;
  /**
   * Whether scorings spend their time waiting for something outside. `true`: a thread gets all it may hold immediately.
   * `false`: each thread has one scoring under way, even while that one waits. Not set: a thread gets more whenever
   * everything it holds is seen to wait, which suits both kinds.
   */
  readonly waits?: boolean;
  score(conversation: Conversation, context: ScoreContext): Score | Promise<Score>;
};

/** @throws {TypeError} if the module does not export a scorer. */
export function assertScorer(value: unknown, from: string): asserts value is Scorer {
  const scorer = value as Partial<Scorer> | null | undefined;
  if (typeof scorer?.score !== 'function' || typeof scorer.name !== 'string' || typeof scorer.version !== 'string') {
    throw new TypeError(`${from} must have a default export { name, version, score(conversation, context) }`);
  }
  if (scorer.waits !== undefined && typeof scorer.waits !== 'boolean') {
    throw new TypeError(`${from}: "waits" must be true, false or not set`);
  }
}
