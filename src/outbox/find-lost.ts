import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { pause } from '../runtime/wait.ts';
import type { CountQueues, MakeLostDue, QueueCounts } from './ports.ts';

const batch = 1_000;
/** Checks per `lostAfterMs`. */
const looksPerTerm = 4;
/**
 * How long the queue must have been empty. The last deliveries of an old backlog are marked as PROCESSING only after a
 * second (consume/in-flight.ts), and look lost until then.
 */
const emptyForMs = 5_000;

/**
 * Finds events that the broker lost (its data wiped, a queue purged or deleted) within a minute or two, rather than
 * after `REPUBLISH_AFTER_MS`.
 *
 * An event that was published longer ago than `lostAfterMs` and is still open is in the queue, or held by a worker,
 * which marks its row, or lost. So once the queues of all lanes have been empty for a while, an old event that no
 * worker holds is lost, and is made due. A backlog is never taken for lost, however long and slow, because its queue is
 * not empty. (Lane by lane would be sooner, and would read the whole backlog of one lane to look for what another has
 * lost.)
 */
export async function findLost(options: {
  readonly countQueues: CountQueues;
  readonly makeLostDue: MakeLostDue;
  readonly lostAfterMs: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}): Promise<void> {
  const { log, stop } = options;
  const isSurelyEmpty = createEmptinessJudge(options.lostAfterMs);

  /** In batches, so that no statement holds many rows. @returns how many. */
  async function makeAllDue(): Promise<number> {
    let found = 0;
    let made: number;
    do {
      made = await options.makeLostDue(batch);
      found += made;
    } while (made === batch && !stop.aborted);
    return found;
  }

  while (!stop.aborted) {
    await pause((options.lostAfterMs / looksPerTerm) * (0.75 + Math.random() / 2), stop);
    if (stop.aborted) return;
    try {
      if (!isSurelyEmpty(await options.countQueues(), performance.now())) continue;
      const found = await makeAllDue();
      if (found > 0) telemetry.foundLost.tell({ events: found });
      if (found > 0)
        log.warn(
          { events: found },
          'published, still open, and the queues are empty: the broker lost these events; publishing them again',
        );
    } catch (error) {
      isSurelyEmpty(null, performance.now()); // start over: earlier counts say nothing about a broker that comes back
      log.debug({ err: error }, 'cannot look for lost events now');
    }
  }
}

/**
 * Judges from successive counts whether the queue has been empty for long enough.
 *
 * RabbitMQ 3.10 reports no messages and no consumers for a quorum queue whose leader does not answer in time
 * (`rabbit_quorum_queue:stat`). A count of zero without consumers is therefore trusted only if every check during
 * `lostAfterMs` has seen it.
 */
export function createEmptinessJudge(lostAfterMs: number): (counts: QueueCounts | null, now: number) => boolean {
  let emptySince: number | null = null;
  return (counts, now) => {
    emptySince = counts?.messages === 0 ? (emptySince ?? now) : null;
    if (counts === null || emptySince === null) return false;
    return now - emptySince >= (counts.consumers > 0 ? emptyForMs : Math.max(emptyForMs, lostAfterMs));
  };
}
