import type { Scorer } from '../../src/score/index.ts';

/**
 * An example of a scorer of your own: burns a set amount of CPU for each conversation and scores by its length.
 * Benchmarks use it to stand for heavier work.
 *
 *   BURN_MS=5 SCORER_MODULE=docs/examples/burn-scorer.ts scripts/up
 */
const burnMs = Number(process.env['BURN_MS'] ?? 0);

const scorer: Scorer = {
  name: 'burn',
  version: '1',
  score(conversation) {
    // CPU time of this thread, not time on the clock: what other threads take does not count as burned.
    const start = process.threadCpuUsage();
    for (let used = 0; used < burnMs * 1_000; ) {
      const { user, system } = process.threadCpuUsage(start);
      used = user + system;
    }
    const turns = conversation.conversation_log.length;
    return { change: turns, totalTurns: turns, details: { burned_ms: burnMs } };
  },
};
export default scorer;
