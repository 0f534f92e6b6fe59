import type { Logger } from '../runtime/log.ts';
import { pause } from '../runtime/wait.ts';
import { decideScale, noMemory, type ScaleFacts, type ScaleLimits } from './scale.ts';

/** Looks every `intervalMs` how many workers there should be, and says why when that changes. */
export async function autoscale(options: {
  readonly limits: ScaleLimits;
  readonly intervalMs: number;
  readonly workers: () => number;
  /** @param workers  as many as there are. Rejects if nothing can be found out. */
  readonly look: (workers: number) => Promise<ScaleFacts>;
  /** Starts or drains workers until there are so many. */
  readonly scaleTo: (workers: number) => void;
  readonly stop: AbortSignal;
  readonly log: Logger;
}): Promise<void> {
  const { limits, stop, log } = options;
  let memory = noMemory;
  let saidWhy = '';
  while (!stop.aborted) {
    await pause(options.intervalMs, stop);
    if (stop.aborted) return;
    const workers = options.workers();
    const facts = await options.look(workers).catch((error: unknown) => {
      log.warn({ err: error, workers }, 'autoscaling: nothing can be found out now; the workers stay as they are');
      return null;
    });
    if (facts === null || stop.aborted) continue;
    const decided = decideScale(facts, limits, memory);
    memory = decided.memory;
    const { backlog, rate, slotsInUse, cpu } = facts;
    const shown = { backlog, rate: Math.round(rate), slotsInUse: rounded(slotsInUse), cpu: rounded(cpu) };
    if (decided.workers !== workers) {
      log.info({ from: workers, to: decided.workers, why: decided.why, ...shown }, 'autoscaling: workers change');
      options.scaleTo(decided.workers);
    } else if (kindOf(decided.why) !== saidWhy) {
      log.info({ workers, why: decided.why, ...shown }, 'autoscaling: workers stay');
    }
    saidWhy = decided.workers === workers ? kindOf(decided.why) : '';
  }
}

/** Numbers change with every look: they are no news. */
function kindOf(why: string): string {
  return why.replaceAll(/\d+/g, '#');
}

function rounded(share: number): number {
  return Math.round(share * 100) / 100;
}
