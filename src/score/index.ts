export { type PoolReply, type ScorePool, startScorePool } from './pool.ts';
export type { Score, Scorer, ScoreWeights } from './scorer.ts';
