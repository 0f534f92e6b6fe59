import pLimit from 'p-limit';
import { PipelineError } from '../event/fault.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { createGroupCommit } from '../runtime/group-commit/group-commit.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { EventView, FindEvents } from './ports.ts';

/**
 * Every read is answered within the deadline, the wait for its turn included.
 * @throws {PipelineError} transient, `OVERLOADED` or `DEADLINE`.
 */
export type Reads = {
  /** One event; null if there is none. Concurrent reads share a statement. */
  event(conversationId: string): Promise<EventView | null>;
  /** The same from the primary database. */
  newest(conversationId: string): Promise<EventView | null>;
  /** Any other read. @throws also what `read` throws. */
  bounded<T>(read: () => Promise<T>): Promise<T>;
  readonly gauge: Gauge;
};

const maxBatch = 64;
const maxBatches = 2;
/** A few seconds of reads; later ones would wait too long, so they are refused at once. */
const maxWaiting = 5_000;

/**
 * Bounds the load of reports on the database: they share its connections with the relay, and must not take all of them.
 * @param options.atOnce  connections that reports may use at the same time.
 */
export function createReads(options: {
  readonly findEvents: FindEvents;
  /** From the primary database. */
  readonly findNewest: FindEvents;
  readonly atOnce: number;
  readonly deadlineMs: number;
}): Reads {
  const { deadlineMs } = options;
  const limit = pLimit(options.atOnce);
  const waiting = () => limit.pendingCount + group.queued;
  const late = () => new PipelineError('transient', 'DEADLINE', `the database did not answer within ${deadlineMs} ms`);

  /** Runs the read when its turn comes, unless its deadline has passed by then. */
  function inTurn<T>(read: () => Promise<T>): Promise<T> {
    const until = performance.now() + deadlineMs;
    return limit(() => (performance.now() < until ? read() : Promise.reject(late())));
  }

  async function bounded<T>(read: () => Promise<T>): Promise<T> {
    if (waiting() >= maxWaiting)
      throw new PipelineError('transient', 'OVERLOADED', `${waiting()} reads are already waiting`);
    const made = inTurn(read);
    if (await settlesWithin(made, deadlineMs)) return made;
    made.catch(() => {}); // its caller has stopped waiting
    throw late();
  }

  const group = createGroupCommit<string, EventView | null>({
    name: 'read',
    async commit(ids) {
      const found = new Map(
        (await inTurn(() => options.findEvents(ids))).map((event) => [event.conversation_id, event]),
      );
      return ids.map((id) => ({ status: 'fulfilled', value: found.get(id) ?? null }));
    },
    batch: { maxItems: maxBatch },
    maxInFlight: maxBatches,
    maxQueued: maxWaiting,
  });

  return {
    event: (id) => group.submit(id, deadlineMs),
    newest: async (id) => (await bounded(() => options.findNewest([id])))[0] ?? null,
    bounded,
    gauge: { name: 'reads_waiting', bound: maxWaiting, held: waiting },
  };
}
