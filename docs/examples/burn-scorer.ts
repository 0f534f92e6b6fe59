import { hash } from 'node:crypto';
import type { Scorer } from '../../src/score/index.ts';

/**
 * An example of a custom scorer: burns a set amount of CPU per conversation and scores it by its length. Benchmarks use
 * it as a stand-in for heavier work.
 *
 *   BURN_MS=5 SCORER_MODULE=docs/examples/burn-scorer.ts scripts/up
 */
const burnMs = Number(process.env['BURN_MS'] ?? 0);
/** Hashing costs the same before and after its code is warm. */
const block = Buffer.alloc(16_384, 1);
/**
 * Blocks hashed per millisecond of CPU. Measured when the scorer is loaded, over many ticks (some systems count a
 * thread's CPU in steps of 4 ms); BURN_BLOCKS_PER_MS sets the same value for several processes.
 */
const blocksPerMs = Number(process.env['BURN_BLOCKS_PER_MS'] ?? 0) || (burnMs > 0 ? countBlocks(200) : 0);

const scorer: Scorer = {
  name: 'burn',
  version: '1',
  score(conversation) {
    burn(burnMs);
    const turns = conversation.conversation_log.length;
    return { change: turns, totalTurns: turns, details: { burned_ms: burnMs } };
  },
};
export default scorer;

/** Uses `ms` of this thread's CPU, however long that takes on the clock. */
export function burn(ms: number): void {
  for (let left = Math.round(ms * blocksPerMs); left > 0; left--) hash('sha256', block);
}

export function countBlocks(ms: number): number {
  const start = process.threadCpuUsage();
  for (let blocks = 0, used = 0; ; blocks += 100) {
    if (used >= ms) return blocks / used;
    for (let i = 0; i < 100; i++) hash('sha256', block);
    const { user, system } = process.threadCpuUsage(start);
    used = (user + system) / 1_000;
  }
}
