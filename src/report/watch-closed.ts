import type { Gauge } from '../runtime/gauge.ts';

/** Says which of these conversations are closed. */
export type FindClosed = (conversationIds: readonly string[]) => Promise<readonly string[]>;

export type ClosedWatch = {
  /** Resolves when the conversation is closed, or `withinMs` are over, or `signal` fires (the client has gone). */
  untilClosed(conversationId: string, withinMs: number, signal: AbortSignal): Promise<void>;
  readonly gauge: Gauge;
};

const pollMs = 50;
const maxWatched = 2_000;
const maxBatch = 500;

/**
 * Waits until conversations are closed. All waiting callers of the process share one query every 50 ms, which runs only
 * while somebody waits. Beyond 2,000 waiting callers a new one is told at once that its wait is over.
 */
export function createClosedWatch(findClosed: FindClosed): ClosedWatch {
  const watched = new Map<string, Set<() => void>>();
  let count = 0;
  let polling = false;

  async function poll(): Promise<void> {
    const ids = [...watched.keys()];
    for (let i = 0; i < ids.length; i += maxBatch) {
      // A database that is away ends no wait: each caller has its own limit.
      const closed = await findClosed(ids.slice(i, i + maxBatch)).catch(() => []);
      for (const id of closed) for (const resolve of watched.get(id) ?? []) resolve();
    }
    polling = watched.size > 0;
    if (polling) setTimeout(poll, pollMs);
  }

  function untilClosed(conversationId: string, withinMs: number, signal: AbortSignal): Promise<void> {
    if (count >= maxWatched || withinMs <= 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const callers = watched.get(conversationId) ?? new Set();
      const done = () => {
        clearTimeout(limit);
        signal.removeEventListener('abort', done);
        if (!callers.delete(done)) return;
        count--;
        if (callers.size === 0) watched.delete(conversationId);
        resolve();
      };
      const limit = setTimeout(done, withinMs);
      signal.addEventListener('abort', done, { once: true });
      callers.add(done);
      watched.set(conversationId, callers);
      count++;
      if (!polling) setTimeout(poll, pollMs);
      polling = true;
    });
  }

  return { untilClosed, gauge: { name: 'status_waits', bound: maxWatched, held: () => count } };
}
