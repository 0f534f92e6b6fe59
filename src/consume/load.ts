import type { EventRef } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import type { LoadedEvent } from '../event/outcome.ts';
import { createGroupCommit } from '../runtime/group-commit.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';

/** Reads events, in the order of their names; null where there is none. */
export type LoadEvents = (refs: readonly EventRef[]) => Promise<readonly (LoadedEvent | null)[]>;
/** @throws {PipelineError} transient, when the drain is over or the database was away for ten minutes: requeue the delivery. */
export type LoadEvent = (ref: EventRef) => Promise<LoadedEvent | null>;

const maxBatch = 64;
/** While one batch is on its way, the deliveries that come meanwhile need not wait for it, if they are many: a small read costs nearly what a large one does. */
const maxBatchesInFlight = 2;
const secondBatchFrom = 20;

/** Loads deliveries that came together by one read, and waits while the database is away. */
export function createLoader(options: {
  readonly loadEvents: LoadEvents;
  /** Most deliveries at once. */
  readonly maxQueued: number;
  readonly giveUp: AbortSignal;
  readonly log: Logger;
}): LoadEvent {
  const group = createGroupCommit<EventRef, LoadedEvent | null>({
    async commit(refs) {
      const loaded = await hold(() => options.loadEvents(refs), {
        // Whatever a read is unhappy with is no event's fault.
        mayPass: () => true,
        giveUp: options.giveUp,
        onWait: (error, waitMs) =>
          options.log.warn({ err: error, deliveries: refs.length, waitMs }, 'events cannot be read yet; holding their deliveries'),
      }).catch((cause: unknown) => {
        throw new PipelineError('transient', 'NOT_LOADED', 'the events of these deliveries could not be read', { cause });
      });
      return loaded.map((value) => ({ status: 'fulfilled', value }));
    },
    maxItems: maxBatch,
    maxInFlight: maxBatchesInFlight,
    furtherFrom: secondBatchFrom,
    maxQueued: options.maxQueued,
  });
  return (ref) => group.submit(ref);
}
