import type { Logger } from '../runtime/log.ts';
import { pause } from '../runtime/wait.ts';
import type { CountQueue, MakeLostDue, QueueCounts } from './ports.ts';

const batch = 1_000;
/** Looks in the time after which an event counts as lost. */
const looksPerTerm = 4;
/**
 * The queue must have been empty this long. What was delivered last from an old backlog is written to be in work after
 * a second (consume/in-flight.ts), and until then looks lost.
 */
const emptyForMs = 5_000;

/**
 * Finds what the broker lost (its data wiped, a queue purged or deleted) in a minute or two, not after
 * `REPUBLISH_AFTER_MS`.
 *
 * An event that was published longer ago than `lostAfterMs` and is still open is either in the queue, or with a worker,
 * who says so in the row, or nowhere. So when the queue has been empty for a while, what is old and unclaimed is
 * nowhere, and is made due. A backlog, however long and slow, is never taken for lost: its queue is not empty.
 */
export async function findLost(options: {
  readonly countQueue: CountQueue;
  readonly makeLostDue: MakeLostDue;
  readonly lostAfterMs: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}): Promise<void> {
  const { log, stop } = options;
  const isSurelyEmpty = createEmptinessJudge(options.lostAfterMs);
  while (!stop.aborted) {
    await pause((options.lostAfterMs / looksPerTerm) * (0.75 + Math.random() / 2), stop);
    if (stop.aborted) return;
    try {
      if (!isSurelyEmpty(await options.countQueue(), performance.now())) continue;
      let found = 0;
      for (let n = batch; n === batch && !stop.aborted; found += n) n = await options.makeLostDue(batch);
      if (found > 0)
        log.warn(
          { events: found },
          'published, still open, and the queue is empty: the broker lost these events; publishing them again',
        );
    } catch (error) {
      isSurelyEmpty(null, performance.now()); // what was seen before a broker went away says nothing of the one that comes back
      log.debug({ err: error }, 'cannot look for lost events now');
    }
  }
}

/**
 * Whether the queue has been empty for long enough, look by look.
 *
 * A quorum queue whose leader does not answer in time is reported to have no messages and no consumers (RabbitMQ 3.10,
 * `rabbit_quorum_queue:stat`). A zero without consumers is therefore believed only when every look in `lostAfterMs` has
 * seen it.
 */
export function createEmptinessJudge(lostAfterMs: number): (counts: QueueCounts | null, now: number) => boolean {
  let emptySince: number | null = null;
  return (counts, now) => {
    emptySince = counts?.messages === 0 ? (emptySince ?? now) : null;
    if (counts === null || emptySince === null) return false;
    return now - emptySince >= (counts.consumers > 0 ? emptyForMs : Math.max(emptyForMs, lostAfterMs));
  };
}
