import type { Conversation } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import type { ScoreDetails } from '../event/outcome.ts';
import type { Gauge } from '../runtime/gauge.ts';
// Not from the folder's index: workers load this file, and need no Express.
import { Problem } from '../runtime/http/problem.ts';
import type { ScorePool } from './pool.ts';

const maxWaiting = 100;

/**
 * Scores without storing, in a separate thread of the API that starts with the first request: CPU work never runs on
 * the event loop.
 */
export function createDryRun(
  startPool: (stop: AbortSignal) => Promise<ScorePool>,
  /** What is done before scoring. */
  prepare: (conversation: Conversation) => Promise<Conversation> = async (conversation) => conversation,
) {
  const stop = new AbortController();
  let pool: Promise<ScorePool> | null = null;
  let waiting = 0;

  return {
    async score(conversation: Conversation): Promise<ScoreDetails> {
      if (waiting >= maxWaiting) throw new PipelineError('transient', 'OVERLOADED', `${waiting} dry runs are waiting`);
      waiting++;
      try {
        pool ??= startPool(stop.signal).catch((error: unknown) => {
          pool = null; // the next request tries again
          throw error;
        });
        const threads = await pool;
        const prepared = await prepare(conversation);
        const outcome = await threads.score([Buffer.from(JSON.stringify(prepared))]);
        if (outcome.kind === 'scored') return JSON.parse(outcome.detailsJson) as ScoreDetails;
        throw new Problem(500, 'scorer_failed', `the scorer failed (${outcome.code}): ${outcome.details}`);
      } finally {
        waiting--;
      }
    },
    /** What the scorer declares; null if it declares nothing, and before the first request. */
    waits: async (): Promise<boolean | null> => (await pool?.catch(() => null))?.waits ?? null,
    gauge: { name: 'dry_runs', bound: maxWaiting, held: () => waiting } satisfies Gauge,
    async close(): Promise<void> {
      stop.abort();
      await (await pool?.catch(() => null))?.close();
    },
  };
}
