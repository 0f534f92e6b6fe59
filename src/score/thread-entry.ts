import { type MessagePort, workerData } from 'node:worker_threads';
import type { Outcome } from '../event/outcome.ts';
import type { ThreadRun } from '../runtime/spans.ts';
import { createHeapWatch } from './heap-watch.ts';
import { type Ended, type PendingScoring, watchPending } from './pending.ts';
import { nameOf, scoreConversation } from './score-conversation.ts';
import { assertScorer, type Scorer, type ScoreWeights } from './scorer.ts';
import { showBeat, showBegin, showHeap, showReturn, type ThreadSigns } from './thread-signs.ts';

/** The settings that the thread gets when it starts. */
export type ThreadSettings = {
  readonly scorerUrl: string;
  readonly weights: ScoreWeights;
  readonly timeoutMs: number;
  readonly beatMs: number;
  readonly signs: ThreadSigns;
  /** Above this, its heap is cleared of garbage before its size is reported. */
  readonly heapAlarmBytes: number;
};

/** A conversation as JSON text. Its id is its position among all items that the thread was given, in 32 bits. */
export type Item = {
  readonly id: number;
  readonly text: Uint8Array;
  /** For what the scorer calls; not set without traces. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
};

export type Order =
  /** Answered once the scorer is loaded. Replies that are ready before their order's answer are posted to `port`. */
  | { readonly kind: 'hello'; readonly port: MessagePort }
  | { readonly kind: 'score'; readonly items: readonly Item[] }
  /** Aborts every scoring that still runs. */
  | { readonly kind: 'give-up' };

/**
 * Outcomes, with the numbers of their items. Those that are ready while others of the same order are pending are posted
 * in a separate message. The answer to the order repeats them all: it uses another port, so it may overtake that
 * message, and the message may be lost with the thread.
 */
export type Replies = {
  readonly ids: readonly number[];
  readonly outcomes: readonly Outcome[];
  /**
   * How long these took on average, milliseconds: from start to end if they waited, else their share of the group's
   * time.
   */
  readonly eachMs: number;
  /** One of these ignored its abort and is still running. It ends only with its thread. */
  readonly overdue: boolean;
  /** When they ran, if their items have headers. */
  readonly runs?: readonly ThreadRun[];
};

/** What the scorer declares about itself; null if nothing. */
export type Hello = { readonly waits: boolean | null };

const settings = workerData as ThreadSettings;
const scorer = await loadScorer(settings.scorerUrl);
let port: MessagePort | null = null;
const heapInUse = createHeapWatch(settings.heapAlarmBytes);
const pendingNow = new Set<PendingScoring>();
setInterval(() => {
  showBeat(settings.signs);
  showHeap(settings.signs, heapInUse());
}, settings.beatMs).unref();

/** Thread entry. Piscina calls it again while earlier calls wait. */
export default async function work(order: Order): Promise<Replies | Hello | undefined> {
  switch (order.kind) {
    case 'hello':
      port = order.port;
      showHeap(settings.signs, heapInUse());
      return { waits: scorer.waits ?? null };
    case 'score': {
      const replies = await scoreGroup(order.items);
      showHeap(settings.signs, heapInUse());
      return replies;
    }
    case 'give-up':
      for (const scoring of pendingNow) scoring.abort(new DOMException('the worker gives up', 'AbortError'));
      return;
  }
}

async function loadScorer(url: string): Promise<Scorer> {
  const loaded: unknown = ((await import(url)) as { default?: unknown }).default;
  assertScorer(loaded, url);
  return loaded;
}

/** Calls the scorer for each conversation in turn, then waits for those that it answered with a promise. */
async function scoreGroup(items: readonly Item[]): Promise<Replies> {
  const beganAt = performance.now();
  const ended: Ended[] = [];
  const pending: PendingScoring[] = [];
  const isTraced = items[0]?.headers !== undefined;
  const post = createPost(ended, items.length, isTraced);
  for (const item of items) {
    const begun = begin(item);
    if (!('over' in begun)) ended.push(begun);
    else if (scorer.waits !== false) pending.push(begun);
    else {
      // The scorer wants one at a time, even within a group.
      watch(begun);
      post();
      ended.push(await begun.over);
    }
  }
  const all = Promise.all(pending.map(({ over }) => over.then((end) => ended.push(end))));
  // An async function that does not wait for anything finishes before the event loop turns.
  if (pending.length > 0) await settlesThisTurn(all);
  if (ended.length === items.length)
    return { ...repliesOf(ended, isTraced), eachMs: (performance.now() - beganAt) / items.length };

  for (const scoring of pending) {
    watch(scoring);
    void scoring.over.then(post);
  }
  post();
  await all;
  return repliesOf(ended, isTraced);
}

function watch(scoring: PendingScoring): void {
  pendingNow.add(scoring);
  scoring.limit(settings.timeoutMs);
  void scoring.over.then(() => pendingNow.delete(scoring));
}

function begin({ id, text, headers = {} }: Item): Ended | PendingScoring {
  const control = new AbortController();
  const beganAt = performance.now();
  showBegin(settings.signs);
  const begun = scoreConversation(scorer, text, { weights: settings.weights, signal: control.signal, headers });
  showReturn(settings.signs);
  if (begun instanceof Promise)
    return watchPending({ id, beganAt, scorerName: nameOf(scorer), pending: begun, control });
  return { id, outcome: begun, beganAt, tookMs: performance.now() - beganAt, overdue: false };
}

function repliesOf(ended: readonly Ended[], isTraced: boolean): Replies {
  return {
    ids: ended.map(({ id }) => id),
    outcomes: ended.map(({ outcome }) => outcome),
    eachMs: ended.reduce((sum, { tookMs }) => sum + tookMs, 0) / ended.length,
    overdue: ended.some(({ overdue }) => overdue),
    ...(isTraced && {
      runs: ended.map(({ beganAt, tookMs }) => ({ beganAt: performance.timeOrigin + beganAt, tookMs })),
    }),
  };
}

async function settlesThisTurn(work: Promise<unknown>): Promise<void> {
  const turn = Promise.withResolvers<void>();
  const immediate = setImmediate(turn.resolve);
  await Promise.race([work, turn.promise]);
  // While orders follow each other, the thread's event loop does not turn, and immediates left there would pile up.
  clearImmediate(immediate);
}

/**
 * @returns a function that posts what has ended since its last call, unless the answer to the order is about to contain
 *   it.
 */
function createPost(ended: readonly Ended[], expected: number, isTraced: boolean): () => void {
  let posted = 0;
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      const fresh = ended.slice(posted);
      posted = ended.length;
      if (fresh.length > 0 && posted < expected) port?.postMessage(repliesOf(fresh, isTraced));
    });
  };
}
