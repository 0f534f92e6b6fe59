import type { EventRef } from '../event/event.ts';
import { faultOf, PipelineError } from '../event/fault.ts';
import type { LoadedEvent } from '../event/outcome.ts';
import { createGroupCommit } from '../runtime/group-commit/group-commit.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';
import type { AttemptSteps } from './attempt.ts';
import type { LoadEvents } from './ports.ts';

type Loaded = PromiseSettledResult<LoadedEvent | null>;

const maxBatch = 64;
/**
 * Deliveries that arrive while one batch is being read start a second batch once there are enough of them. A small read
 * costs nearly as much as a large one.
 */
const maxBatchesInFlight = 2;
const secondBatchFrom = 20;

/** Loads the events of deliveries that arrive together in one read, and waits while the database is away. */
export function createLoader(options: {
  readonly loadEvents: LoadEvents;
  /** Most deliveries at once. */
  readonly maxQueued: number;
  readonly giveUp: AbortSignal;
  readonly log: Logger;
}): AttemptSteps['load'] {
  const { loadEvents, giveUp, log } = options;
  const group = createGroupCommit<EventRef, LoadedEvent | null>({
    name: 'load',
    commit: (refs) =>
      hold(() => loadApart(loadEvents, refs), {
        mayPass: () => true,
        giveUp,
        onWait: (error, waitMs) =>
          log.warn(
            { err: error, deliveries: refs.length, waitMs },
            'events cannot be read yet; holding their deliveries',
          ),
      }).catch((cause: unknown) => {
        throw new PipelineError('transient', 'NOT_LOADED', 'the events of these deliveries could not be read', {
          cause,
        });
      }),
    batch: { maxItems: maxBatch },
    maxInFlight: maxBatchesInFlight,
    furtherFrom: secondBatchFrom,
    maxQueued: options.maxQueued,
  });
  return (ref) => group.submit(ref);
}

/**
 * Reads a batch. If it is refused, or too large for its deadline, reads it in halves, so that an event that cannot be
 * read does not block the others.
 *
 * @throws {PipelineError} transient, if the database is away.
 */
async function loadApart(loadEvents: LoadEvents, refs: readonly EventRef[]): Promise<Loaded[]> {
  try {
    return (await loadEvents(refs)).map((value) => ({ status: 'fulfilled', value }));
  } catch (error) {
    const isAway = error instanceof PipelineError && error.code === 'DATABASE_UNAVAILABLE';
    if (isAway) throw error;
    if (refs.length === 1) {
      if (faultOf(error) === 'transient') throw error;
      return [{ status: 'rejected', reason: error }];
    }
    const middle = refs.length >> 1;
    return [
      ...(await loadApart(loadEvents, refs.slice(0, middle))),
      ...(await loadApart(loadEvents, refs.slice(middle))),
    ];
  }
}
