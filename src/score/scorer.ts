import type { Conversation } from '../event/conversation.ts';

/** Points of the friendship rules; from configuration, so that a scorer need not read the environment. */
export type ScoreWeights = {
  readonly turn: number;
  readonly question: number;
  readonly interesting: number;
  readonly boring: number;
  readonly memory: number;
  readonly pronunciation: number;
};

/**
 * What a scorer returns. `change` is added to the user's friendship score; it must be finite and within ±10⁹, and is
 * rounded to four decimals. `details` is stored and returned to callers, with `scorer` added (at most 64 KiB of JSON);
 * it must not repeat what was said. An answer that breaks these rules fails the event permanently (`SCORER_ANSWER`),
 * with the reason in its error.
 */
export type Score = {
  readonly change: number;
  /** Complete turns, which are summed per topic. Default 0. */
  readonly totalTurns?: number;
  readonly details: Readonly<Record<string, unknown>>;
};

export type ScoreContext = {
  readonly weights: ScoreWeights;
  /**
   * Aborts when this scoring has run for `SCORING_TIMEOUT_MS` (a `TimeoutError`), and when the worker gives up at the
   * end of its drain (an `AbortError`). Pass it on to whatever you wait for, for example `fetch(url, { signal })`: a
   * scoring that ends within a second of the abort costs only its own attempt; one that goes on also costs its thread.
   */
  readonly signal: AbortSignal;
  /**
   * Headers for whatever the scorer calls, as in `fetch(url, { headers, signal })`: they continue the event's trace
   * (`traceparent`). Empty without traces.
   */
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * A plug-in that scores conversations: the default export of the module named by `SCORER_MODULE`.
 *
 * Runs in a scoring thread, and may use the CPU or wait. While one scoring waits, its thread works on others: `score`
 * may be called again before an earlier call has settled, so state outside its local variables is shared. It must be
 * deterministic in effect, because an event may be scored more than once (the result counts once). Throwing fails the
 * attempt, which is retried later; an error with `permanent: true` fails the event permanently. A scorer that fails
 * must throw, not return zero.
 */
export type Scorer = {
  readonly name: string;
  readonly version: string;
  /**
   * Whether scorings spend their time waiting for something outside. `true`: a thread immediately gets all it may hold.
   * `false`: each thread runs one scoring at a time, even while that one waits. Not set: a thread gets more whenever
   * everything it holds is waiting, which suits both kinds.
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
