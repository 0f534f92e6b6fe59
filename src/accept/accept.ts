import { type EventId, type NewEvent, newEventId } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import type { Lane, LaneRule } from '../event/lane.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { createGroupCommit } from '../runtime/group-commit/group-commit.ts';
import { Problem } from '../runtime/http/index.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { chooseLane } from './choose-lane.ts';
import { requestDigest } from './digest.ts';
import type { Stored, StoreEvents } from './ports.ts';
import type { ConversationRequest } from './request.ts';

/** `processAfter`: what is scheduled now; null: it is scored at once, or was accepted before. */
type Accepted = { readonly eventId: EventId; readonly replayed: boolean; readonly processAfter: Date | null };

export type Acceptor = {
  /**
   * Resolves when the event is committed; `publish` has by then been called for it, if it is new.
   * @param options.isNoisy  its user or caller sends too much: it goes to the low lane.
   * @throws {Problem} 409 or 422. @throws {PipelineError} transient, within the deadline.
   */
  accept(request: ConversationRequest, options?: { readonly isNoisy: boolean }): Promise<Accepted>;
  /** Resolves when no accept is waiting or being committed. */
  idle(): Promise<void>;
  readonly gauge: Gauge;
};

/**
 * Measured with 3.5 KB events: neither larger batches nor more of them at once raise the rate (docs/decisions/0002).
 */
const maxBatch = 100;
/**
 * 1 to 16, then multiples of 4. Each size needs a prepared statement per connection, so there are not many of them, and
 * rounding a batch down to one leaves at most three events for the next.
 */
const batchSizes = [...Array(maxBatch).keys()].map((i) => i + 1).filter((size) => size <= 16 || size % 4 === 0);
/** As in settling: several small batches cost more than one that waited a moment (docs/decisions/0013). */
const furtherBatchFrom = 20;
/** Well below `max_allowed_packet` (16 MiB by default), and small enough for a short transaction. */
const maxBatchBytes = 4 * 1_024 * 1_024;
/** Requests waiting for a batch. At 3,000 per second, this is over a second's worth: more would miss their deadline. */
const maxQueued = 4_000;

export function createAcceptor(options: {
  readonly storeEvents: StoreEvents;
  /** Called for each new event after its commit; must not throw or wait. */
  readonly publish: (event: NewEvent) => void;
  readonly deadlineMs: number;
  readonly maxBatchesInFlight: number;
  readonly laneRules: readonly LaneRule[];
  /** How far ahead a conversation may be scheduled. */
  readonly maxAheadMs: number;
  /**
   * Events are removed when they are this old, so that a repeat of one would count again: a conversation that ended
   * longer ago is refused unless its event is still there. Null: they are kept.
   */
  readonly retention: {
    readonly keepMs: number;
    readonly isStored: (conversationId: string) => Promise<boolean>;
  } | null;
}): Acceptor {
  const group = createGroupCommit<NewEvent, Stored>({
    name: 'accept',
    commit: options.storeEvents,
    batch: { maxItems: maxBatch, sizes: batchSizes, weight: { max: maxBatchBytes, of: bytesOf } },
    maxInFlight: options.maxBatchesInFlight,
    furtherFrom: furtherBatchFrom,
    maxQueued,
  });

  return {
    async accept(request, { isNoisy } = { isNoisy: false }) {
      if (options.retention !== null) await refuseTooOld(request, options.retention);
      const { lane, why } = chooseLane(request, options.laneRules, isNoisy);
      const event = toNewEvent(request, lane, scheduledFor(request.processAfter, options.maxAheadMs));
      const began = performance.now();
      const stored = await spans.accept.around(event, () =>
        group.submit(event, options.deadlineMs).catch((error: unknown) => {
          throw refusedRow(error) ?? error;
        }),
      );
      telemetry.accepted.tell({ result: stored.kind, ms: msSince(began) });
      switch (stored.kind) {
        case 'new':
          telemetry.laned.tell({ lane, why });
          // What is scheduled is published by a relay when it is due.
          if (event.processAfter === null) options.publish(event);
          return { eventId: stored.eventId, replayed: false, processAfter: event.processAfter };
        case 'replay':
          return { eventId: stored.eventId, replayed: true, processAfter: null };
        case 'conflict':
          throw new Problem(
            409,
            'conversation_exists',
            'a conversation with this id and other content was accepted before',
          );
      }
    },
    idle: () => group.idle(),
    gauge: { name: 'accepts_waiting', bound: maxQueued, held: () => group.queued },
  };
}

/** Clocks of APIs differ. */
const clockMarginMs = 3_600_000;

/** @throws {Problem} 422 */
async function refuseTooOld(
  { conversationId, endTime }: ConversationRequest,
  { keepMs, isStored }: { readonly keepMs: number; readonly isStored: (conversationId: string) => Promise<boolean> },
): Promise<void> {
  if (endTime.getTime() > Date.now() - keepMs + clockMarginMs || (await isStored(conversationId))) return;
  const days = Math.round(keepMs / 86_400_000);
  throw new Problem(
    422,
    'conversation_too_old',
    `conversations are kept for ${days} days, and this one ended earlier: it may have been counted and removed`,
  );
}

function bytesOf({ logJson, metadataJson }: NewEvent): number {
  return Buffer.byteLength(logJson) + Buffer.byteLength(metadataJson ?? '');
}

/** `traceparent`: null until a listener has set it. */
function toNewEvent(
  request: ConversationRequest,
  lane: Lane,
  processAfter: Date | null,
): NewEvent & { traceparent: string | null } {
  const { turns, metadata, priority: _, ...fields } = request;
  const logJson = JSON.stringify(turns);
  return {
    ...fields,
    processAfter,
    eventId: newEventId(processAfter?.getTime()),
    logJson,
    metadataJson: metadata === null ? null : JSON.stringify(metadata),
    digest: requestDigest(request, logJson),
    traceparent: null,
    lane,
  };
}

/** Null: at once, also for a time that has passed. @throws {Problem} 422 if it is too far ahead. */
function scheduledFor(wanted: Date | null, maxAheadMs: number): Date | null {
  const aheadMs = wanted === null ? 0 : wanted.getTime() - Date.now();
  if (aheadMs > maxAheadMs) {
    const detail = `must not be more than ${Math.round(maxAheadMs / 86_400_000)} days ahead`;
    throw new Problem(422, 'invalid_request', 'the body has 1 error', {
      errors: [{ pointer: '/process_after', detail }],
    });
  }
  return aheadMs > 0 ? wanted : null;
}

/** A row that passed our checks and that the database still refuses is the caller's error. */
function refusedRow(error: unknown): Problem | null {
  if (!(error instanceof PipelineError) || error.code !== 'ROW_REFUSED') return null;
  return new Problem(422, 'not_storable', 'the database refuses this body', { cause: error });
}
