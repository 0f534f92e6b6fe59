import type { ConversationText } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import type { Entry, LoadedThread, Scored } from './loaded-thread.ts';
import type { StartThread } from './thread.ts';
import { startThreadSet } from './thread-set.ts';
import type { Wear } from './wear.ts';

type Scoring = Parameters<typeof spans.score.around>[0];

type HandOver = {
  /** What the scorer declares as `waits`; null if it declares nothing. */
  readonly waits: boolean | null;
  /** Waits for a thread. Rejects only when `close` is called. */
  submit(text: ConversationText): Promise<Scored>;
  /** Number of conversations that no thread has taken yet. */
  readonly waiting: number;
  /** Threads that hold a conversation. */
  readonly busyThreads: number;
  /** Bytes of each thread's heap that are in use. */
  heapBytes(): number[];
  /** Samples the thread that holds most; see `Thread.profile`. */
  profile: LoadedThread['profile'];
  /** Replaces every thread once it holds nothing more. */
  renew(): void;
  /** Rejects everything, aborts running scorings, and ends the threads. */
  close(reason: Error): Promise<void>;
};

/**
 * A thread is handed about this much work at a time. Waking a thread and getting its answer costs about 70 µs
 * (docs/decisions/0013): little compared with a millisecond, and nobody notices a delay of a millisecond.
 */
const groupMs = 1;
const maxGroup = 64;
const maxGroupBytes = 1_024 * 1_024;
/**
 * Threads do not report when they become idle, so while conversations are queued the threads are polled: after 1 ms,
 * then at doubling intervals.
 */
const soonestLookMs = 1;
const latestLookMs = 16;

/**
 * Hands conversations to scoring threads. A thread that holds nothing gets one, or several if the hand-over would cost
 * more than the scoring. A thread that holds some gets more when all of them are waiting: its event loop is then idle,
 * so the next one begins at once and delays no other. As a result, scorers that use the CPU run one at a time in each
 * thread, scorers that wait run as many as there are, and scorers that do both run as many as the CPU has time for
 * (docs/decisions/0016).
 */
export async function startHandOver(options: {
  readonly threads: number;
  /** A thread that holds this many bytes of text gets no more. */
  readonly maxThreadBytes: number;
  readonly startThread: StartThread;
  readonly wear: Wear;
  /** Gives up the start. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}): Promise<HandOver> {
  let queued: Entry[] = [];
  let scheduled = false;
  let closed: Error | null = null;
  let look: NodeJS.Timeout | undefined;
  /** Average scoring time of the last ten conversations or so; infinite until one has been scored. */
  let averageMs = Number.POSITIVE_INFINITY;

  const set = await startThreadSet({
    count: options.threads,
    startThread: options.startThread,
    wear: options.wear,
    stop: options.stop,
    log: options.log,
    onRoom: schedule,
    onScored(count, eachMs) {
      averageMs =
        averageMs === Number.POSITIVE_INFINITY ? eachMs : averageMs + (eachMs - averageMs) * Math.min(1, count / 10);
    },
    onReturned(entries) {
      // Goes back to single conversations, so that one that ends its thread does not share a hand-over.
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
    // By then, everything from one read of the socket has been submitted.
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
    // A single conversation may exceed the bound; otherwise it would block all that come after it.
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
    const taken = queued.splice(0, n);
    const now = performance.now();
    for (const entry of taken) entry.takenAt = now;
    return taken;
  }

  function enqueue(text: ConversationText, about: Scoring): Promise<Scored> {
    return new Promise((resolve, reject) => {
      const bytes = text.reduce((sum, piece) => sum + piece.length, 0);
      const queuedAt = performance.now();
      const entry: Entry = {
        text,
        bytes,
        takenAt: queuedAt,
        headers: spans.score.isHeard ? about.headers : undefined,
        resolve(scored, ran) {
          if (ran) about.ran = ran;
          telemetry.stepped.tell({ step: 'score_wait', ms: entry.takenAt - queuedAt });
          telemetry.stepped.tell({ step: 'score', ms: msSince(entry.takenAt) });
          resolve(scored);
        },
        reject,
      };
      queued.push(entry);
      schedule();
    });
  }

  return {
    waits,
    submit(text) {
      if (closed !== null) return Promise.reject(closed);
      const about: Scoring = { headers: {} };
      return spans.score.around(about, () => enqueue(text, about));
    },
    get waiting() {
      return queued.length;
    },
    get busyThreads() {
      return [...set.ready].filter((thread) => thread.held > 0).length;
    },
    heapBytes: () => [...set.ready].map((thread) => thread.heapBytes),
    async profile(ms, stop) {
      const [busiest] = [...set.ready].sort((a, b) => b.held - a.held);
      if (busiest === undefined) throw new PipelineError('transient', 'NO_THREADS', 'no scoring thread is running now');
      return busiest.profile(ms, stop);
    },
    renew: () => set.renew(),
    async close(reason) {
      closed = reason;
      clearTimeout(look);
      for (const { reject } of queued.splice(0)) reject(reason);
      await set.close(reason);
    },
  };
}
