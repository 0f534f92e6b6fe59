import { LRUCache } from 'lru-cache';
import type { EventView, FindClosed, FindEvents, FindFriendship } from './ports.ts';

/** Users of a few seconds. */
const mostUsers = 100_000;

type Reads = { readonly findEvents: FindEvents; readonly findFriendship: FindFriendship };
/** What is only asked of the primary. */
type NewestReads = Reads & { readonly findClosed: FindClosed };

/**
 * Reads from a replica as if there was none: what changes, or is not there yet, is asked of the primary.
 *
 * - Of events, the replica is believed only that one is PROCESSED: after that, only a rescore or a removal changes it.
 * - Whoever was told by the primary that a conversation is PROCESSED finds it in the friendship: for as long as the
 *   replica may be behind, that user's is read from the primary, too.
 *
 * @param options.replica  falls back to the primary by itself if it fails.
 */
export function freshReads(options: {
  readonly primary: NewestReads;
  readonly replica: Reads;
  /** Otherwise the replica is not asked. */
  readonly isFresh: () => boolean;
  /** How far it may be behind while it is asked. */
  readonly mostBehindMs: number;
}): NewestReads & { readonly findNewest: FindEvents } {
  const { primary, replica } = options;
  const ahead = new LRUCache<string, true>({ max: mostUsers, ttl: options.mostBehindMs });
  const noted = (events: readonly EventView[]) => {
    for (const event of events) if (event.status === 'PROCESSED') ahead.set(event.user_id, true);
    return events;
  };
  return {
    async findEvents(ids) {
      if (!options.isFresh()) return primary.findEvents(ids);
      const there = (await replica.findEvents(ids)).filter(({ status }) => status === 'PROCESSED');
      const known = new Set(there.map((event) => event.conversation_id));
      const missing = ids.filter((id) => !known.has(id));
      if (missing.length === 0) return there;
      return [...there, ...noted(await primary.findEvents(missing))];
    },
    findClosed: async (ids) => noted(await primary.findClosed(ids)),
    findNewest: async (ids) => noted(await primary.findEvents(ids)),
    async findFriendship(userId, known) {
      const isAsked = options.isFresh() && !ahead.has(userId);
      const found = isAsked ? await replica.findFriendship(userId, known) : null;
      return found ?? primary.findFriendship(userId, known);
    },
  };
}
