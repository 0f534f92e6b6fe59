import { codeOf } from '../event/fault.ts';
import type { Lane } from '../event/lane.ts';
import { encodeMessage, type Message } from '../event/message.ts';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import type { ConfirmMarks } from './confirm-marks.ts';
import type { ExtendDue, Publication, PublishMessage, ToPublish } from './ports.ts';

export type Publications = {
  /**
   * Publishes the event and records the confirm.
   * @param as  due time and attempt count of the row that is being published.
   * @throws what publishing throws; the broker may not have the event.
   */
  publish(event: ToPublish, as: Omit<Publication, 'eventId'>): Promise<void>;
  /** Resolves when all pending publications have settled. */
  settled(): Promise<unknown>;
  /** Ends the extensions. */
  stop(): void;
};

/** A publication that is not confirmed yet. Times are `performance.now()`. */
type UnderWay = {
  publication: Publication;
  readonly since: number;
  relaysComeAt: number;
  extending: Promise<void> | null;
};

/**
 * How many grace periods relays are kept from taking an event: a minute by default. A second copy does not help a
 * broker whose confirms are slow, but after a minute the cause may be that this connection alone is stuck. Each copy
 * has a minute of its own.
 */
const keptOffGraces = 12;
const sweepsPerGrace = 4;
/** Events in one statement. */
const maxBatch = 500;

/**
 * Tracks what is being published. While a confirm takes longer than the grace period, the event's due time is extended,
 * so that no process's relay publishes it again to a broker that is already slow.
 */
export function createPublications(options: {
  readonly publish: PublishMessage;
  readonly extendDue: ExtendDue;
  readonly marks: ConfirmMarks;
  readonly graceMs: number;
  readonly log: Logger;
}): Publications {
  const { graceMs, marks } = options;
  const underWay = new Set<UnderWay>();
  const confirms = new Set<Promise<void>>();

  const sweep = setInterval(() => {
    const now = performance.now();
    const late = [...underWay].filter(
      (entry) =>
        entry.extending === null &&
        now - entry.since < keptOffGraces * graceMs &&
        entry.relaysComeAt - now <= graceMs / 2,
    );
    for (let i = 0; i < late.length; i += maxBatch) void extend(late.slice(i, i + maxBatch));
  }, graceMs / sweepsPerGrace);
  sweep.unref();

  async function extend(late: readonly UnderWay[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const entry of late) entry.extending = promise;
    const asked = performance.now();
    try {
      const { dueAt, moved } = await options.extendDue(late.map((entry) => entry.publication));
      for (const entry of late) {
        if (!moved.has(entry.publication.eventId)) continue; // the next sweep tries again
        entry.publication = { ...entry.publication, dueAt };
        entry.relaysComeAt = asked + graceMs;
      }
    } catch (error) {
      options.log.debug(
        { err: error, events: late.length },
        'cannot extend the due time of events that wait for a confirm; relays may publish them again',
      );
    }
    for (const entry of late) entry.extending = null;
    resolve();
  }

  async function confirm(message: Message, lane: Lane, entry: UnderWay): Promise<void> {
    const began = performance.now();
    try {
      await options.publish(message, lane);
      telemetry.published.tell({ code: null, ms: msSince(began) });
      // The mark must contain the due time that a pending extension sets.
      await entry.extending;
      marks.add(entry.publication, entry.relaysComeAt - performance.now());
    } catch (error) {
      telemetry.published.tell({ code: codeOf(error), ms: msSince(began) });
      throw error;
    } finally {
      underWay.delete(entry);
    }
  }

  return {
    publish(event, as) {
      // What is kept until the confirm comes: not the text that `event` may have.
      const { eventId, conversationId, userId, botId, traceparent, lane } = event;
      const since = performance.now();
      const publication = { eventId, dueAt: as.dueAt, attemptCount: as.attemptCount };
      const entry: UnderWay = { publication, since, relaysComeAt: since + graceMs, extending: null };
      underWay.add(entry);
      const about = { eventId, traceparent, headers: {} };
      const confirmed = spans.publish.around(about, () =>
        confirm(encodeMessage({ eventId, conversationId, userId, botId }, about.headers), lane, entry),
      );
      confirms.add(confirmed);
      return confirmed.finally(() => confirms.delete(confirmed));
    },
    settled: () => Promise.allSettled(confirms),
    stop: () => clearInterval(sweep),
  };
}
