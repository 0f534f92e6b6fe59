import type { ConversationText } from '../event/conversation.ts';
import type { Logger } from '../runtime/log.ts';
import type { Entry, LoadedThread, Scored } from './loaded-thread.ts';
import type { StartThread } from './thread.ts';
import { startThreadSet } from './thread-set.ts';

type HandOver = {
  /** What the scorer declares of its scorings; null if it leaves that to be seen. */
  readonly waits: boolean | null;
  /** Waits for a thread. Rejects only when `close` is called. */
  submit(text: ConversationText): Promise<Scored>;
  /** Conversations that no thread has yet. */
  readonly waiting: number;
  /** Rejects everything, aborts what runs, and ends the threads. */
  close(reason: Error): Promise<void>;
};

/**
 * Work of this long goes to a thread at once. Waking a thread and hearing from it cost about 70 µs
 * (docs/decisions/0013): at a millisecond that is little, and a millisecond is what nobody notices.
 */
const groupMs = 1;
const maxGroup = 64;
const maxGroupBytes = 1_024 * 1_024;
/**
 * No thread reports when it becomes idle, so while some are queued the threads are polled: after 1 ms, then at doubling
 * intervals.
 */
const soonestLookMs = 1;
const latestLookMs = 16;

/**
 * Hands conversations to scoring threads. A thread that holds nothing gets one, or several where the hand-over would
 * cost more than the scoring. A thread that holds some gets more when all of these wait: its event loop is idle at that
 * moment, so the next one begins at once and delays nobody. Scorers that use the CPU thereby run one at a time in each
 * thread, those that wait as many as there are, and those that do both as many as the CPU has time for
 * (docs/decisions/0016).
 */
export async function startHandOver(options: {
  readonly threads: number;
  /** A thread that holds this many bytes of text gets no more. */
  readonly maxThreadBytes: number;
  readonly startThread: StartThread;
  /** Gives up the start. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}): Promise<HandOver> {
  let queued: Entry[] = [];
  let scheduled = false;
  let closed: Error | null = null;
  let look: NodeJS.Timeout | undefined;
  /** Of one conversation, over the last ten or so; unknown until one was scored. */
  let averageMs = Number.POSITIVE_INFINITY;

  const set = await startThreadSet({
    count: options.threads,
    startThread: options.startThread,
    stop: options.stop,
    log: options.log,
    onRoom: schedule,
    onScored(count, eachMs) {
      averageMs =
        averageMs === Number.POSITIVE_INFINITY ? eachMs : averageMs + (eachMs - averageMs) * Math.min(1, count / 10);
    },
    onReturned(entries) {
      // Start again with single ones, so that one that ends threads does not share a hand-over.
      averageMs = Number.POSITIVE_INFINITY;
      if (closed !== null) {
        for (const { reject } of entries) reject(closed);
        return;
      }
      queued = [...entries, ...queued];
      schedule();
    },
  });
  const [first] = set.ready;
  const waits = first?.waits ?? null;

  function schedule(): void {
    if (scheduled || queued.length === 0) return;
    scheduled = true;
    // All that one read of the socket brought is there by then.
    queueMicrotask(() => {
      scheduled = false;
      handOut(soonestLookMs);
    });
  }

  /** @param lookMs  when to look again if something is left over. */
  function handOut(lookMs: number): void {
    let nextLookMs = lookMs;
    while (queued.length > 0) {
      const thread = leastLoaded();
      if (thread === null) {
        clearTimeout(look);
        look = setTimeout(handOut, nextLookMs, Math.min(latestLookMs, nextLookMs * 2));
        return;
      }
      thread.give(takeGroup(thread));
      nextLookMs = soonestLookMs;
    }
  }

  function leastLoaded(): LoadedThread | null {
    let least: LoadedThread | null = null;
    for (const thread of set.ready) if ((least === null || thread.held < least.held) && mayTake(thread)) least = thread;
    return least;
  }

  function mayTake(thread: LoadedThread): boolean {
    if (thread.held === 0) return true;
    // One conversation may exceed the bound, however large: it would otherwise stop all that come after it.
    if (waits === false || thread.heldBytes >= options.maxThreadBytes) return false;
    return waits === true || thread.isIdle();
  }

  function takeGroup(thread: LoadedThread): Entry[] {
    const most = Math.min(maxGroup, Math.max(1, Math.floor(groupMs / averageMs)));
    const mostBytes = Math.min(maxGroupBytes, options.maxThreadBytes - thread.heldBytes);
    let total = 0;
    let n = 0;
    for (const { bytes } of queued) {
      total += bytes;
      if (n > 0 && (n >= most || total > mostBytes)) break;
      n++;
    }
    return queued.splice(0, n);
  }

  return {
    waits,
    submit(text) {
      if (closed !== null) return Promise.reject(closed);
      return new Promise((resolve, reject) => {
        const bytes = text.reduce((sum, piece) => sum + piece.length, 0);
        queued.push({ text, bytes, resolve, reject });
        schedule();
      });
    },
    get waiting() {
      return queued.length;
    },
    async close(reason) {
      closed = reason;
      clearTimeout(look);
      for (const { reject } of queued.splice(0)) reject(reason);
      await set.close(reason);
    },
  };
}
