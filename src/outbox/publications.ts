import type { EventPointer } from '../event/event.ts';
import { encodeMessage, type Message } from '../event/message.ts';
import type { Logger } from '../runtime/log.ts';
import type { ConfirmMarks } from './confirm-marks.ts';
import type { ExtendDue, Publication, PublishMessage } from './ports.ts';

export type Publications = {
  /**
   * Publishes and notes the confirm.
   * @param as  due time and attempts of the row that is being published.
   * @throws what publishing throws: the broker may not have the event.
   */
  publish(event: EventPointer, as: Omit<Publication, 'eventId'>): Promise<void>;
  /** All that are under way. */
  settled(): Promise<unknown>;
  /** From here on nothing is extended. */
  stop(): void;
};

/** A publication whose confirm has not come yet. Times are `performance.now()`. */
type UnderWay = {
  publication: Publication;
  readonly since: number;
  relaysComeAt: number;
  extending: Promise<void> | null;
};

/**
 * For how many graces relays are kept off an event: a minute by default. A broker that takes longer for a confirm will
 * not be faster for a second copy, but it may be this connection alone that is stuck. Each copy has a minute of its own.
 */
const keptOffGraces = 12;
const sweepsPerGrace = 4;
/** Of one statement. */
const maxBatch = 500;

/**
 * What is on its way to the broker. While a confirm takes longer than the grace, the event is kept from the relays of
 * all processes: they would publish it again, to a broker that has enough to do.
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
      const dueAt = await options.extendDue(late.map((entry) => entry.publication));
      for (const entry of late) {
        entry.publication = { ...entry.publication, dueAt };
        entry.relaysComeAt = asked + graceMs;
      }
    } catch (error) {
      options.log.debug({ err: error, events: late.length }, 'relays are not kept off events that wait for a confirm');
    }
    for (const entry of late) entry.extending = null;
    resolve();
  }

  async function confirm(message: Message, entry: UnderWay): Promise<void> {
    try {
      await options.publish(message);
      // Its mark must name the due time that the extension leaves.
      await entry.extending;
      marks.add(entry.publication, entry.relaysComeAt - performance.now());
    } finally {
      underWay.delete(entry);
    }
  }

  return {
    publish(event, as) {
      const { eventId } = event;
      const since = performance.now();
      const publication = { eventId, dueAt: as.dueAt, attemptCount: as.attemptCount };
      const entry: UnderWay = { publication, since, relaysComeAt: since + graceMs, extending: null };
      underWay.add(entry);
      const confirmed = confirm(encodeMessage(event), entry);
      confirms.add(confirmed);
      return confirmed.finally(() => confirms.delete(confirmed));
    },
    settled: () => Promise.allSettled(confirms),
    stop: () => clearInterval(sweep),
  };
}
