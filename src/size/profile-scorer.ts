import { availableParallelism } from 'node:os';
import { parseConversationRequest, toConversation } from '../accept/index.ts';
import type { Config } from '../config.ts';
import { StartError } from '../runtime/start-error.ts';
import { startPool } from '../start/score-pool.ts';
import { quiet } from '../start/tool.ts';
import type { NextBody } from './bodies.ts';
import { isWaiting } from './model.ts';
import type { Measured } from './recommend.ts';

const enoughMs = 2_000;
const enoughEvents = 400;
const warmEvents = 30;
const warmMs = 1_000;

/**
 * Measures the user's scorer alone, in the same pool that a worker uses, with one body at a time per thread: first with
 * one thread, then with one per core.
 */
export async function measureScorer(
  config: Config,
  nextBody: NextBody,
  stop: AbortSignal,
): Promise<Measured['scorer'] & { readonly bodyBytes: number }> {
  const bodies = Array.from({ length: 200 }, () =>
    Buffer.from(JSON.stringify(toConversation(parseConversationRequest(nextBody())))),
  );
  const one = await run(config, 1, bodies, stop);
  const cores = availableParallelism();
  const scorer = {
    name: config.scorerModule ?? 'friendship',
    wallMs: one.wallMs,
    cpuMs: Math.min(one.cpuMs, one.wallMs),
    threadEfficiency: 1,
    waits: one.waits,
  };
  // Threads that wait do not slow each other down.
  const all = cores === 1 || isWaiting(scorer) ? null : await run(config, cores, bodies, stop);
  return {
    ...scorer,
    ...(all !== null && { threadEfficiency: all.rate / (one.rate * cores) }),
    bodyBytes: bodies.reduce((sum, body) => sum + body.length, 0) / bodies.length,
  };
}

async function run(
  config: Config,
  threads: number,
  bodies: readonly Buffer[],
  stop: AbortSignal,
): Promise<{ rate: number; wallMs: number; cpuMs: number; waits: boolean | null }> {
  const pool = await startPool(config, threads, stop, quiet);
  let i = 0;
  const score = async () => {
    const outcome = await pool.score([bodies[i++ % bodies.length] ?? Buffer.alloc(0)]);
    if (outcome.kind !== 'scored')
      throw new StartError(`the scorer fails on these bodies (${outcome.code}): measuring failures is pointless`);
  };
  try {
    const lanes = (until: () => boolean) =>
      Promise.all(
        Array.from({ length: threads }, async () => {
          while (until()) await score();
        }),
      );
    const warming = performance.now();
    await lanes(() => i < warmEvents && performance.now() - warming < warmMs);
    const [from, cpuFrom, began] = [i, process.cpuUsage(), performance.now()];
    await lanes(() => performance.now() - began < enoughMs && i - from < enoughEvents * threads);
    const tookMs = performance.now() - began;
    const { user, system } = process.cpuUsage(cpuFrom);
    const events = i - from;
    return {
      rate: (events / tookMs) * 1_000,
      wallMs: (tookMs * threads) / events,
      cpuMs: (user + system) / 1_000 / events,
      waits: pool.waits,
    };
  } finally {
    await pool.close();
  }
}
