import pLimit from 'p-limit';
import { PipelineError } from '../event/fault.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { createGroupCommit } from '../runtime/group-commit.ts';
import type { EventView } from './views.ts';

/** Reads those of these conversations that are there, in any order. */
export type FindEvents = (conversationIds: readonly string[]) => Promise<readonly EventView[]>;

export type Reads = {
  /** One event; null if there is none. Reads that come together are one statement. @throws {PipelineError} transient, also `OVERLOADED`. */
  event(conversationId: string): Promise<EventView | null>;
  /** Any other read. @throws {PipelineError} transient, `OVERLOADED`, and what `read` throws. */
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
export function createReads(options: { readonly findEvents: FindEvents; readonly atOnce: number }): Reads {
  const limit = pLimit(options.atOnce);
  const waiting = () => limit.pendingCount + group.queued;

  async function bounded<T>(read: () => Promise<T>): Promise<T> {
    if (waiting() >= maxWaiting) throw new PipelineError('transient', 'OVERLOADED', `${waiting()} reads wait already`);
    return await limit(read);
  }

  const group = createGroupCommit<string, EventView | null>({
    async commit(ids) {
      const found = new Map((await limit(() => options.findEvents(ids))).map((event) => [event.conversation_id, event]));
      return ids.map((id) => ({ status: 'fulfilled', value: found.get(id) ?? null }));
    },
    maxItems: maxBatch,
    maxInFlight: maxBatches,
    maxQueued: maxWaiting,
  });

  return { event: (id) => group.submit(id), bounded, gauge: { name: 'reads_waiting', bound: maxWaiting, held: waiting } };
}
