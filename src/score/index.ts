export { type PoolReply, type ScorePool, type ScorePoolOptions, startScorePool } from './pool.ts';
export type { Score, ScoreContext, Scorer, ScoreWeights } from './scorer.ts';
export { deadlinesToEnd } from './thread.ts';
