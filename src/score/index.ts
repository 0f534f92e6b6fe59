export { roundsFor } from './culprit-search.ts';
export { createDryRun } from './dry-run.ts';
export { mostDeadlines } from './pending.ts';
export { type ScorePool, type ScorePoolOptions, startScorePool } from './pool.ts';
export type { Scorer } from './scorer.ts';
export { deadlinesToEnd } from './thread.ts';
