import type { Conversation } from '../event/event.ts';

/** Points of the friendship rules; from configuration, so that a scorer need not read the environment. */
export type ScoreWeights = {
  readonly turn: number;
  readonly question: number;
  readonly interesting: number;
  readonly boring: number;
  readonly memory: number;
};

/**
 * What a scorer answers. `change` is added to the user's friendship score: finite, at most four decimals are kept.
 * `details` is stored and returned to callers as it is (JSON); it must not repeat what was said.
 */
export type Score = {
  readonly change: number;
  /** Complete turns, added up per topic. Default 0. */
  readonly totalTurns?: number;
  readonly details: Readonly<Record<string, unknown>>;
};

/**
 * A plug-in that scores conversations: the default export of the module named by `SCORER_MODULE`.
 *
 * Runs in a scoring thread, one conversation at a time, and may burn CPU or wait. It must be deterministic in effect:
 * an event may be scored more than once (its result counts once). Throwing fails the attempt, which is tried again later;
 * an error with `permanent: true` fails the event for good. A scorer never answers zero because it failed.
 */
export type Scorer = {
  readonly name: string;
  readonly version: string;
  score(conversation: Conversation, context: { readonly weights: ScoreWeights }): Score | Promise<Score>;
};

/** @throws {TypeError} if the module does not export a scorer. */
export function assertScorer(value: unknown, from: string): asserts value is Scorer {
  const scorer = value as Partial<Scorer> | null | undefined;
  if (typeof scorer?.score !== 'function' || typeof scorer.name !== 'string' || typeof scorer.version !== 'string') {
    throw new TypeError(`${from} must have a default export { name, version, score(conversation, context) }`);
  }
}
