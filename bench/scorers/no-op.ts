import type { Scorer } from '../../src/score/index.ts';

/** Costs nothing, so that only the pipeline is measured. */
const scorer: Scorer = { name: 'no-op', version: '1', score: () => ({ change: 1, details: {} }) };
export default scorer;
