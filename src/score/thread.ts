import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { FixedQueue, Piscina } from 'piscina';
import type { ConversationText } from '../event/conversation.ts';
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

/** An item before it is copied: its text in pieces, and how long these are together. */
export type Given = { readonly id: number; readonly text: ConversationText; readonly bytes: number };

/** One scoring thread. */
export type Thread = {
  /** What the scorer declares; null if it leaves that to be seen. */
  readonly waits: boolean | null;
  /** Gives it more to do: at once if its event loop is idle, else after what it is doing. */
  give(items: readonly Given[]): void;
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
};

export type ThreadEvents = {
  /** Some replies come a second time (score/thread-entry.ts). */
  readonly onReplies: (replies: Replies) => void;
  /**
   * Called at most once, and never after `end`, also for a thread that holds nothing. Nothing may be given to it any
   * more.
   */
  readonly onEnd: (end: ThreadEnd) => void;
};

/** @throws if the scorer cannot be loaded in it, takes too long for that, or `stop` fires meanwhile. */
export type StartThread = (events: ThreadEvents, stop: AbortSignal) => Promise<Thread>;

/** A thread counts as hung after this many looks in a row without a sign of life. */
const missedLooks = 11;
const looksPerDeadline = 10;
/** A thread that stands still is ended after this many deadlines at the latest. */
export const deadlinesToEnd = (missedLooks + 1) / looksPerDeadline;

/**
 * Starts a thread and loads the scorer in it. Each is a Piscina of its own, and not one of several in a common one,
 * because a thread whose scoring ignores its abort is replaced at once and ends later, when the others in it have
 * finished (docs/decisions/0016).
 *
 * @throws if the scorer cannot be loaded, takes too long for that, or `stop` fires meanwhile.
 */
export async function startThread(options: ThreadOptions, events: ThreadEvents, stop: AbortSignal): Promise<Thread> {
  const signs = createSigns();
  const lookMs = options.timeoutMs / looksPerDeadline;
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
    // Waiting in `Atomics.wait` between orders would be no faster, and would stop the timers and sockets of a scorer
    // meanwhile.
    atomics: 'disabled',
  });
  // Also emitted for a thread that died at work, which its orders report by themselves.
  pool.on('error', (error) => ended({ hung: false, code: codeOf(error) }));
  // A port of our own: `parentPort` is open to whatever a scorer loads.
  const { port1: port, port2: theirs } = new MessageChannel();
  port.on('message', (replies: Replies) => events.onReplies(replies));
  port.unref();

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

  let closing: Promise<void> | null = null;
  function close(): Promise<void> {
    isOpen = false;
    stopWatch();
    port.close();
    closing ??= pool.destroy();
    return closing;
  }

  const { waits } = await before(
    pool.run({ kind: 'hello', port: theirs }, { transferList: [theirs] }) as Promise<Hello>,
    stop,
  ).catch((error: unknown) => {
    void close();
    throw error;
  });
  // Piscina starts another worker in its place, which is not told of the port: a thread that is lost is replaced as a
  // whole.
  pool.threads[0]?.once('exit', () => ended({ hung: false, code: null }));
  return {
    waits,
    give(items) {
      given = items.at(-1)?.id ?? given;
      const own = copyTogether(items);
      const transferList = own.slice(0, 1).map(({ text }) => text.buffer);
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

/** How long a scorer may take to load, milliseconds. */
const startMs = 30_000;

async function before<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  const over = AbortSignal.any([stop, AbortSignal.timeout(startMs)]);
  const gaveUp = Promise.withResolvers<never>();
  const giveUp = () =>
    gaveUp.reject(new Error(stop.aborted ? 'stopped while it was loaded' : `it was not loaded within ${startMs} ms`));
  over.addEventListener('abort', giveUp, { once: true });
  if (over.aborted) giveUp();
  try {
    return await Promise.race([work, gaveUp.promise]);
  } finally {
    over.removeEventListener('abort', giveUp);
    work.catch(() => {});
  }
}

/**
 * Calls `onStill` when a busy thread has shown no sign of life for `missedLooks` looks. Looks are counted, not time: a
 * machine that slept is no hang.
 */
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

/**
 * Texts as views of one buffer of their own: the pieces are views of the sockets' buffers, which a transfer would take
 * along.
 */
function copyTogether(items: readonly Given[]): (Item & { readonly text: Uint8Array<ArrayBuffer> })[] {
  const buffer = new ArrayBuffer(items.reduce((sum, { bytes }) => sum + bytes, 0));
  let at = 0;
  return items.map(({ id, text, bytes }) => {
    const copy = new Uint8Array(buffer, at, bytes);
    at += bytes;
    let from = 0;
    for (const piece of text) {
      copy.set(piece, from);
      from += piece.length;
    }
    return { id, text: copy };
  });
}

function codeOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}
