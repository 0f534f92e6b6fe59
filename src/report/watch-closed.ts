import type { Gauge } from '../runtime/gauge.ts';
import type { EventView, FindClosed } from './ports.ts';

export type ClosedWatch = {
  /**
   * Resolves with the event as soon as it is closed; with null after `withinMs`, when `signal` fires (the client is
   * gone), or when the watch ends.
   * @returns null if it cannot wait: too many callers do already, or the watch has ended.
   */
  untilClosed(conversationId: string, withinMs: number, signal: AbortSignal): Promise<EventView | null> | null;
  readonly gauge: Gauge;
};

const pollMs = 50;
const maxWatched = 2_000;
const maxBatch = 64;

/**
 * Waits until conversations are closed. All waiting callers of the process share the queries, which run every 50 ms
 * while anyone waits. Callers get the rows that these queries read, so two thousand that end together cost no further
 * read.
 *
 * @param end  ends every wait, when the process drains.
 */
export function createClosedWatch(findClosed: FindClosed, end: AbortSignal): ClosedWatch {
  const watched = new Map<string, Set<(event: EventView | null) => void>>();
  let count = 0;
  let polling = false;
  end.addEventListener('abort', () => {
    for (const callers of watched.values()) for (const resolve of callers) resolve(null);
  });

  async function poll(): Promise<void> {
    const ids = [...watched.keys()];
    for (let i = 0; i < ids.length; i += maxBatch) {
      // An unreachable database does not end the waits: each caller has its own limit.
      const closed = await findClosed(ids.slice(i, i + maxBatch)).catch(() => []);
      for (const event of closed) for (const resolve of watched.get(event.conversation_id) ?? []) resolve(event);
    }
    polling = watched.size > 0;
    if (polling) setTimeout(poll, pollMs);
  }

  function untilClosed(
    conversationId: string,
    withinMs: number,
    signal: AbortSignal,
  ): Promise<EventView | null> | null {
    if (count >= maxWatched || withinMs <= 0 || signal.aborted || end.aborted) return null;
    return new Promise((resolve) => {
      const callers = watched.get(conversationId) ?? new Set();
      const done = (event: EventView | null) => {
        clearTimeout(limit);
        signal.removeEventListener('abort', gone);
        if (!callers.delete(done)) return;
        count--;
        if (callers.size === 0) watched.delete(conversationId);
        resolve(event);
      };
      const gone = () => done(null);
      const limit = setTimeout(gone, withinMs);
      signal.addEventListener('abort', gone, { once: true });
      callers.add(done);
      watched.set(conversationId, callers);
      count++;
      if (!polling) setTimeout(poll, pollMs);
      polling = true;
    });
  }

  return { untilClosed, gauge: { name: 'status_waits', bound: maxWatched, held: () => count } };
}
