import pLimit from 'p-limit';
import { PipelineError } from '../event/fault.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { createGroupCommit } from '../runtime/group-commit/group-commit.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { EventView } from './views.ts';

/** Reads those of these conversations that are there, in any order. */
export type FindEvents = (conversationIds: readonly string[]) => Promise<readonly EventView[]>;

/**
 * Every read is answered within the deadline, the wait for its turn included.
 * @throws {PipelineError} transient, `OVERLOADED` or `DEADLINE`.
 */
export type Reads = {
  /** One event; null if there is none. Reads that come together are one statement. */
  event(conversationId: string): Promise<EventView | null>;
  /** Any other read. @throws what `read` throws, too. */
  bounded<T>(read: () => Promise<T>): Promise<T>;
  readonly gauge: Gauge;
};

const maxBatch = 64;
const maxBatches = 2;
/** A few seconds of reads; who comes after them would wait longer than for an answer that says so. */
const maxWaiting = 5_000;

/**
 * Bounds what reports ask of the database: they share its connections with the relay, and must not have all of them.
 * @param options.atOnce  connections that reports may use at the same moment.
 */
export function createReads(options: {
  readonly findEvents: FindEvents;
  readonly atOnce: number;
  readonly deadlineMs: number;
}): Reads {
  const { deadlineMs } = options;
  const limit = pLimit(options.atOnce);
  const waiting = () => limit.pendingCount + group.queued;
  const late = () => new PipelineError('transient', 'DEADLINE', `no answer of the database within ${deadlineMs} ms`);

  /** Makes the read when its turn comes; not if nobody waits for it by then. */
  function inTurn<T>(read: () => Promise<T>): Promise<T> {
    const until = performance.now() + deadlineMs;
    return limit(() => (performance.now() < until ? read() : Promise.reject(late())));
  }

  const group = createGroupCommit<string, EventView | null>({
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
    async bounded(read) {
      if (waiting() >= maxWaiting)
        throw new PipelineError('transient', 'OVERLOADED', `${waiting()} reads wait already`);
      const made = inTurn(read);
      if (await settlesWithin(made, deadlineMs)) return made;
      made.catch(() => {}); // nobody waits for it any more
      throw late();
    },
    gauge: { name: 'reads_waiting', bound: maxWaiting, held: waiting },
  };
}
