import type { Scorer } from '../../src/score/index.ts';

/** Costs nothing: what is measured with it is the pipeline. */
const scorer: Scorer = { name: 'no-op', version: '1', score: () => ({ change: 1, details: {} }) };
export default scorer;
