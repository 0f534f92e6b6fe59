import type { EventId, EventPointer } from '../event/event.ts';
import { encodeMessage, type Message } from '../event/message.ts';
import type { Logger } from '../runtime/log.ts';
import type { ConfirmMarks, Publication } from './confirm-marks.ts';

/** Resolves when the broker has the message; rejects (transient) at once when it cannot be had. */
export type PublishMessage = (message: Message) => Promise<void>;
/** Keeps relays off events for another grace. Resolves with the due time that they have now. */
export type ExtendDue = (publications: readonly Publication[]) => Promise<Date>;

export type Publications = {
  /**
   * Publishes and notes the confirm. Joins a publication of the same event that is under way.
   * @param dueAt  when relays may take the event; null: as inserted, a grace from now.
   * @throws what publishing throws: the broker may not have the event.
   */
  publish(event: EventPointer, dueAt: Date | null): Promise<void>;
  /** All that are under way. */
  settled(): Promise<unknown>;
  /** From here on nothing is extended. */
  stop(): void;
};

type UnderWay = {
  readonly eventId: EventId;
  done: Promise<void>;
  dueAt: Date | null;
  relaysComeAt: number;
  extensions: number;
  extending: Promise<void> | null;
};

/**
 * A minute, at the default grace. A broker that takes longer for a confirm will not be the faster for a second copy;
 * but it may be this connection alone that is stuck.
 */
const mostExtensions = 12;
const sweepsPerGrace = 4;
const nothing = Promise.resolve();

/**
 * What is on its way to the broker. While a confirm takes longer than the grace the event is kept from the relays of
 * all processes, which would publish it again to a broker that has enough to do.
 */
export function createPublications(options: {
  readonly publish: PublishMessage;
  readonly extendDue: ExtendDue;
  readonly marks: ConfirmMarks;
  readonly graceMs: number;
  readonly log: Logger;
}): Publications {
  const { graceMs, marks } = options;
  const underWay = new Map<EventId, UnderWay>();

  const sweep = setInterval(() => {
    const now = performance.now();
    const late = [...underWay.values()].filter(
      (entry) =>
        entry.extending === null && entry.extensions < mostExtensions && entry.relaysComeAt - now <= graceMs / 2,
    );
    if (late.length > 0) void extend(late);
  }, graceMs / sweepsPerGrace);
  sweep.unref();

  async function extend(late: readonly UnderWay[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const entry of late) entry.extending = promise;
    const since = performance.now();
    try {
      const dueAt = await options.extendDue(late.map(({ eventId, dueAt }) => ({ eventId, dueAt })));
      for (const entry of late) {
        entry.dueAt = dueAt;
        entry.relaysComeAt = since + graceMs;
      }
    } catch (error) {
      options.log.debug({ err: error, events: late.length }, 'relays are not kept off events that wait for a confirm');
    }
    for (const entry of late) {
      entry.extensions++;
      entry.extending = null;
    }
    resolve();
  }

  async function confirm(message: Message, entry: UnderWay): Promise<void> {
    try {
      await options.publish(message);
      // Its mark must name the due time that the extension leaves.
      await entry.extending;
      marks.add({ eventId: entry.eventId, dueAt: entry.dueAt }, entry.relaysComeAt - performance.now());
    } finally {
      underWay.delete(entry.eventId);
    }
  }

  return {
    publish({ eventId, conversationId, userId, botId }, dueAt) {
      const relaysComeAt = performance.now() + graceMs;
      const before = underWay.get(eventId);
      if (before !== undefined) {
        before.dueAt = dueAt;
        before.relaysComeAt = relaysComeAt;
        return before.done;
      }
      // The ids alone: a caller may pass an event with its text, and what waits for a confirm is bounded by the size of
      // messages.
      const entry: UnderWay = { eventId, done: nothing, dueAt, relaysComeAt, extensions: 0, extending: null };
      underWay.set(eventId, entry);
      entry.done = confirm(encodeMessage({ eventId, conversationId, userId, botId }), entry);
      return entry.done;
    },
    settled: () => Promise.allSettled([...underWay.values()].map(({ done }) => done)),
    stop: () => clearInterval(sweep),
  };
}
