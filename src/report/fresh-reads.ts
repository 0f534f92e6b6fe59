import { LRUCache } from 'lru-cache';
import type { EventView, FindEvents, FindFriendship } from './ports.ts';

/** Users of a few seconds. */
const mostUsers = 100_000;

type Reads = { readonly findEvents: FindEvents; readonly findFriendship: FindFriendship };

/**
 * Reads from a replica as if there was none: what changes, or is not there yet, is asked of the primary.
 *
 * - Of events, the replica is believed only that one is PROCESSED, after which it does not change.
 * - Whoever was told by the primary that a conversation is PROCESSED finds it in the friendship: for as long as the
 *   replica may be behind, that user's is read from the primary, too.
 *
 * @param options.replica  falls back to the primary by itself if it fails.
 */
export function freshReads(options: {
  readonly primary: Reads;
  readonly replica: Reads;
  /** Otherwise the replica is not asked. */
  readonly isFresh: () => boolean;
  readonly maxLagMs: number;
}): Reads {
  const { primary, replica } = options;
  const ahead = new LRUCache<string, true>({ max: mostUsers, ttl: options.maxLagMs });
  const noteAhead = (events: readonly EventView[]) => {
    for (const event of events) if (event.status === 'PROCESSED') ahead.set(event.user_id, true);
  };
  return {
    async findEvents(ids) {
      if (!options.isFresh()) return primary.findEvents(ids);
      const there = (await replica.findEvents(ids)).filter(({ status }) => status === 'PROCESSED');
      const known = new Set(there.map((event) => event.conversation_id));
      const missing = ids.filter((id) => !known.has(id));
      if (missing.length === 0) return there;
      const rest = await primary.findEvents(missing);
      noteAhead(rest);
      return [...there, ...rest];
    },
    async findFriendship(userId, known) {
      const isAsked = options.isFresh() && !ahead.has(userId);
      const found = isAsked ? await replica.findFriendship(userId, known) : null;
      return found ?? primary.findFriendship(userId, known);
    },
  };
}
