import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { FixedQueue, Piscina } from 'piscina';
import type { ConversationText } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import { pause, settlesWithin } from '../runtime/wait.ts';
import type { ScoreWeights } from './scorer.ts';
import type { Hello, Item, Order, Replies, ThreadSettings } from './thread-entry.ts';
import { createSigns, readBeats, readBegun, readHeap, readRunning } from './thread-signs.ts';

/** How a thread ended. */
export type ThreadEnd = {
  /** True if its event loop was blocked for longer than a scoring may take; false if it ended on its own. */
  readonly hung: boolean;
  /** The number of the item that was begun last. Later items cannot have ended the thread. */
  readonly begun: number;
  /** The scorer was called for that item and never returned. */
  readonly running: boolean;
  /** Node's error code for the end; null if there is none. */
  readonly code: string | null;
};

/** An item before it is copied: its text in pieces, and their total length. */
export type Given = Pick<Item, 'id' | 'headers'> & { readonly text: ConversationText; readonly bytes: number };

/** One scoring thread. */
export type Thread = {
  /** What the scorer declares as `waits`; null if it declares nothing. */
  readonly waits: boolean | null;
  /** Gives it items. It begins them at once if its event loop is idle, else after its current work. */
  give(items: readonly Given[]): void;
  /** True while all its items have begun and its event loop is waiting for something outside. */
  isIdle(): boolean;
  /** Bytes of its heap that are in use. */
  readonly heapBytes: number;
  /** Samples its CPU time until `stop`, or for `ms`. @returns the text of a `.cpuprofile`. */
  profile(ms: number, stop: AbortSignal): Promise<string>;
  /** Aborts the running scorings. Resolves when all of them have ended, at the latest after `withinMs`. */
  giveUp(withinMs: number): Promise<void>;
  /** Ends the thread, including whatever still runs in it. */
  end(): Promise<void>;
};

type ThreadOptions = {
  readonly entry: URL;
  readonly scorerUrl: string;
  readonly weights: ScoreWeights;
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly heapAlarmBytes: number;
};

export type ThreadEvents = {
  /** Some replies arrive twice (see `Replies` in score/thread-entry.ts). */
  readonly onReplies: (replies: Replies) => void;
  /**
   * Called at most once and never after `end`, even if the thread holds nothing. The thread must not be given anything
   * after that.
   */
  readonly onEnd: (end: ThreadEnd) => void;
};

/** @throws if the scorer cannot be loaded, takes too long to load, or `stop` fires meanwhile. */
export type StartThread = (events: ThreadEvents, stop: AbortSignal) => Promise<Thread>;

/** A thread counts as hung after this many checks in a row without a sign of life. */
const missedLooks = 11;
const looksPerDeadline = 10;
/** A hung thread is ended after this many deadlines at the latest. */
export const deadlinesToEnd = (missedLooks + 1) / looksPerDeadline;

/**
 * Starts a thread and loads the scorer in it. Each thread is a Piscina pool of its own rather than one of several in a
 * shared pool: a thread whose scoring ignores its abort is replaced at once, but ends only when the other scorings in
 * it have finished (docs/decisions/0016).
 *
 * @throws if the scorer cannot be loaded, takes too long to load, or `stop` fires meanwhile.
 */
export async function startThread(options: ThreadOptions, events: ThreadEvents, stop: AbortSignal): Promise<Thread> {
  const signs = createSigns();
  const lookMs = options.timeoutMs / looksPerDeadline;
  const { scorerUrl, weights, timeoutMs, heapAlarmBytes } = options;
  const pool = new Piscina<Order, unknown>({
    filename: fileURLToPath(options.entry),
    workerData: { scorerUrl, weights, timeoutMs, beatMs: lookMs / 2, signs, heapAlarmBytes } satisfies ThreadSettings,
    minThreads: 1,
    maxThreads: 1,
    // The caller of `give` bounds what the thread holds at once.
    concurrentTasksPerWorker: Number.POSITIVE_INFINITY,
    taskQueue: new FixedQueue(),
    resourceLimits: { maxOldGenerationSizeMb: options.memoryMb },
    recordTiming: false,
    // Waiting in `Atomics.wait` between orders would not be faster, and would block the scorer's timers and sockets
    // meanwhile.
    atomics: 'disabled',
  });
  // Also emitted for a thread that dies while it works; its orders report that on their own.
  pool.on('error', (error) => ended({ hung: false, code: codeOf(error) }));
  // A port of our own, because anything that a scorer loads can use `parentPort`.
  const { port1: port, port2: theirs } = new MessageChannel();
  port.on('message', (replies: Replies) => events.onReplies(replies));
  port.unref();

  let isOpen = true;
  /** Number of the last item that the thread was given. */
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
  // Piscina starts another worker in its place, which does not get the port; so a lost thread is replaced
  // together with its pool.
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
    get heapBytes() {
      return readHeap(signs);
    },
    isIdle() {
      const worker = pool.threads[0];
      if (worker === undefined || readBegun(signs) !== given) return false;
      // The idle time of an event loop grows only while it waits.
      const { idle } = worker.performance.eventLoopUtilization();
      return worker.performance.eventLoopUtilization().idle > idle;
    },
    async profile(ms, stop) {
      const [worker] = pool.threads;
      try {
        const handle = await worker?.startCpuProfile();
        await pause(ms, stop);
        if (handle !== undefined) return await handle.stop();
      } catch (cause) {
        throw new PipelineError('transient', 'THREAD_ENDED', 'the scoring thread ended meanwhile', { cause });
      }
      throw new PipelineError('transient', 'THREAD_ENDED', 'the scoring thread has ended');
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
 * Calls `onStill` when a busy thread has shown no sign of life for `missedLooks` checks. It counts checks and not time,
 * because a thread has not hung if the machine was asleep.
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
 * Copies the texts into one new buffer. The pieces are views of the sockets' buffers, which a transfer would take away.
 */
function copyTogether(items: readonly Given[]): (Item & { readonly text: Uint8Array<ArrayBuffer> })[] {
  const buffer = new ArrayBuffer(items.reduce((sum, { bytes }) => sum + bytes, 0));
  let at = 0;
  return items.map(({ id, text, bytes, headers }) => {
    const copy = new Uint8Array(buffer, at, bytes);
    at += bytes;
    let from = 0;
    for (const piece of text) {
      copy.set(piece, from);
      from += piece.length;
    }
    return headers === undefined ? { id, text: copy } : { id, text: copy, headers };
  });
}

function codeOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}
