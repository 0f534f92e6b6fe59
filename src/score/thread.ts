import { fileURLToPath } from 'node:url';
import { FixedQueue, Piscina } from 'piscina';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { ScoreWeights } from './scorer.ts';
import type { Hello, Item, Order, Replies, ThreadSettings } from './thread-entry.ts';
import { createSigns, readBeats, readBegun, readRunning } from './thread-signs.ts';

/** How a thread ended that was still holding items. */
export type ThreadEnd = {
  /** Its event loop stood still for longer than a scoring may take; otherwise it ended by itself. */
  readonly hung: boolean;
  /** The number of the item that had begun last. Those after it cannot have ended the thread. */
  readonly begun: number;
  /** The scorer was called for that item and never returned. */
  readonly running: boolean;
  /** What ended it, as Node names it; null if it does not say. */
  readonly code: string | null;
};

/** One scoring thread. */
export type Thread = {
  /** What the scorer declares; null if it leaves that to be seen. */
  readonly waits: boolean | null;
  /** Gives it more to do: at once if its event loop is idle, else after what it is doing. */
  give(items: readonly Item[]): void;
  /** True while all that it was given has begun, and its event loop waits for something outside. */
  isIdle(): boolean;
  /** Aborts what runs in it. Resolves when all of that has ended, at the latest after `withinMs`. */
  giveUp(withinMs: number): Promise<void>;
  /** Ends it with whatever still runs in it. */
  end(): Promise<void>;
};

type ThreadOptions = {
  readonly entry: URL;
  readonly scorerUrl: string;
  readonly weights: ScoreWeights;
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly log: Logger;
};

export type ThreadEvents = {
  /** Some replies come a second time (score/thread-entry.ts). */
  readonly onReplies: (replies: Replies) => void;
  /** Called at most once, and never after `end`. Nothing more comes from it, and nothing may be given to it. */
  readonly onEnd: (end: ThreadEnd) => void;
};

/** @throws if the scorer cannot be loaded in it. */
export type StartThread = (events: ThreadEvents) => Promise<Thread>;

/** A thread counts as hung after this many looks in a row without a sign of life. */
const missedLooks = 11;
const looksPerDeadline = 10;
/** Timers that fire more often would only keep the cores busy. With deadlines below 200 ms a hung thread is found later for it. */
const leastLookMs = 20;
/** A thread that stands still is ended after this many deadlines at the latest. */
export const deadlinesToEnd = (missedLooks + 1) / looksPerDeadline;

/**
 * Starts a thread and loads the scorer in it. Each is a Piscina of its own, and not one of several in a common one, because a thread whose
 * scoring ignores its abort is replaced at once and ends later, when the others in it have finished (docs/decisions/0016).
 *
 * @throws if the scorer cannot be loaded.
 */
export async function startThread(options: ThreadOptions, events: ThreadEvents): Promise<Thread> {
  const signs = createSigns();
  const lookMs = Math.max(leastLookMs, options.timeoutMs / looksPerDeadline);
  const { scorerUrl, weights, timeoutMs } = options;
  const pool = new Piscina<Order, unknown>({
    filename: fileURLToPath(options.entry),
    workerData: { scorerUrl, weights, timeoutMs, beatMs: lookMs / 2, signs } satisfies ThreadSettings,
    minThreads: 1,
    maxThreads: 1,
    // What it holds at once is bounded by whoever gives.
    concurrentTasksPerWorker: Number.POSITIVE_INFINITY,
    taskQueue: new FixedQueue(),
    resourceLimits: { maxOldGenerationSizeMb: options.memoryMb },
    recordTiming: false,
    // Waiting in `Atomics.wait` between orders would be no faster, and would stop the timers and sockets of a scorer meanwhile.
    atomics: 'disabled',
  });
  // Also emitted for a thread that died at work, which its orders report by themselves.
  pool.on('error', (error) => options.log.debug({ err: error }, 'scoring thread failed'));
  pool.on('message', (replies: Replies) => events.onReplies(replies));

  let isOpen = true;
  /** Number of the item that it was given last. */
  let given = 0;
  const orders = new Set<Promise<void>>();
  const stopWatch = watchBeats({
    beats: () => readBeats(signs),
    isBusy: () => orders.size > 0,
    lookMs,
    onStill: () => ended({ hung: true, code: null }),
  });

  function ended(how: Pick<ThreadEnd, 'hung' | 'code'>): void {
    if (!isOpen) return;
    const end: ThreadEnd = { ...how, running: readRunning(signs), begun: readBegun(signs) };
    void close();
    events.onEnd(end);
  }

  async function close(): Promise<void> {
    isOpen = false;
    stopWatch();
    await pool.destroy();
  }

  const { waits } = await (pool.run({ kind: 'hello' }) as Promise<Hello>).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    waits,
    give(items) {
      given = items.at(-1)?.id ?? given;
      const own = copyTogether(items);
      const transferList = own.slice(0, 1).map(({ body }) => body.buffer);
      const order = pool.run({ kind: 'score', items: own }, { transferList }).then(
        (replies) => events.onReplies(replies as Replies),
        (error: unknown) => ended({ hung: false, code: codeOf(error) }),
      );
      orders.add(order);
      void order.finally(() => orders.delete(order));
    },
    isIdle() {
      const worker = pool.threads[0];
      if (worker === undefined || readBegun(signs) !== given) return false;
      // The idle time of an event loop grows while it waits, and only then.
      const { idle } = worker.performance.eventLoopUtilization();
      return worker.performance.eventLoopUtilization().idle > idle;
    },
    async giveUp(withinMs) {
      const told = pool.run({ kind: 'give-up' }).catch(() => {});
      await settlesWithin(Promise.all([told, ...orders]), withinMs);
    },
    end: close,
  };
}

/** Calls `onStill` when a busy thread has shown no sign of life for `missedLooks` looks. Looks are counted, not time: a machine that slept is no hang. */
function watchBeats(options: {
  readonly beats: () => number;
  readonly isBusy: () => boolean;
  readonly lookMs: number;
  readonly onStill: () => void;
}): () => void {
  let last = Number.NaN;
  let missed = 0;
  const timer = setInterval(() => {
    const beats = options.beats();
    missed = options.isBusy() && beats === last ? missed + 1 : 0;
    last = beats;
    if (missed >= missedLooks) options.onStill();
  }, options.lookMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Bodies as views of one buffer of their own: a delivery's bytes are a view of the socket's buffer, which a transfer would take along. */
function copyTogether(items: readonly Item[]): { readonly id: number; readonly body: Uint8Array<ArrayBuffer> }[] {
  const buffer = new ArrayBuffer(items.reduce((sum, { body }) => sum + body.length, 0));
  let at = 0;
  return items.map(({ id, body }) => {
    const copy = new Uint8Array(buffer, at, body.length);
    copy.set(body);
    at += body.length;
    return { id, body: copy };
  });
}

function codeOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}
