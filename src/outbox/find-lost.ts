import type { Logger } from '../runtime/log.ts';
import { pause } from '../runtime/wait.ts';

/** Messages that wait in the queue, none of those that were delivered; null if that cannot be told now. */
export type QueueDepth = () => Promise<number | null>;
/** Makes events due that were published long ago and that nobody holds; at most `limit`. Resolves with how many. */
export type MakeLostDue = (limit: number) => Promise<number>;

const batch = 1_000;
/** Looks in the time after which an event counts as lost. */
const looksPerTerm = 4;
/**
 * The queue must have been empty this long. What was delivered last from an old backlog is written to be in work after a second
 * (consume/in-flight.ts), and until then looks lost.
 */
const emptyForMs = 5_000;

/**
 * Finds what the broker lost (its data wiped, a queue purged or deleted) in a minute or two, not after `REPUBLISH_AFTER_MS`.
 *
 * An event that was published longer ago than `lostAfterMs` and is still open is either in the queue, or with a worker, who
 * says so in the row, or nowhere. So when the queue has been empty for a while, what is old and unclaimed is nowhere, and is made
 * due. A backlog, however long and slow, is never taken for lost: its queue is not empty.
 */
export async function findLost(options: {
  readonly queueDepth: QueueDepth;
  readonly makeLostDue: MakeLostDue;
  readonly lostAfterMs: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}): Promise<void> {
  const { log, stop } = options;
  let emptySince: number | null = null;
  while (!stop.aborted) {
    await pause((options.lostAfterMs / looksPerTerm) * (0.75 + Math.random() / 2), stop);
    if (stop.aborted) return;
    try {
      const isEmpty = (await options.queueDepth()) === 0;
      emptySince = isEmpty ? (emptySince ?? performance.now()) : null;
      if (emptySince === null || performance.now() - emptySince < emptyForMs) continue;
      let found = 0;
      for (let n = batch; n === batch && !stop.aborted; found += n) n = await options.makeLostDue(batch);
      if (found > 0)
        log.warn({ events: found }, 'published, still open, and the queue is empty: the broker lost these events; publishing them again');
    } catch (error) {
      emptySince = null; // what was seen before a broker went away says nothing of the one that comes back
      log.debug({ err: error }, 'cannot look for lost events now');
    }
  }
}
