import { setTimeout as delay } from 'node:timers/promises';
import { burn } from '../../docs/examples/burn-scorer.ts';
import type { Scorer } from '../../src/score/index.ts';

const { WAIT_MS = '0', BURN_MS = '0' } = process.env;

/** Stands for a scorer that calls an external service: waits, then does some work on the answer. */
const scorer: Scorer = {
  name: 'wait',
  version: '1',
  async score(_conversation, { signal }) {
    await delay(Number(WAIT_MS), undefined, { signal });
    burn(Number(BURN_MS));
    return { change: 1, details: {} };
  },
};
export default scorer;
