import { parentPort, workerData } from 'node:worker_threads';
import { type Ended, type Running, watchRunning } from './running.ts';
import { assertScorer, type Scorer, type ScoreWeights } from './scorer.ts';
import { nameOf, type ScoreReply, scoreMessage } from './scoring.ts';
import { showBeat, showBegin, showReturn, type ThreadSigns } from './thread-signs.ts';

/** What the thread is told at its start. */
export type ThreadSettings = {
  readonly scorerUrl: string;
  readonly weights: ScoreWeights;
  readonly timeoutMs: number;
  readonly beatMs: number;
  readonly signs: ThreadSigns;
};

/** A message body under a positive number that is its own within the process. */
export type Item = { readonly id: number; readonly body: Uint8Array };

export type Order =
  /** Answered once the scorer is loaded. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'score'; readonly items: readonly Item[] }
  /** Aborts every scoring that still runs. */
  | { readonly kind: 'give-up' };

/**
 * Replies, in one list with the numbers of their items. The answer to an order has all of its items; those that were ready while others of
 * the order still waited were also posted before, as a message of their own.
 */
export type Replies = {
  readonly ids: readonly number[];
  readonly replies: readonly ScoreReply[];
  /** How long these took on average, milliseconds: from begin to end if they waited, else their share of what the group took. */
  readonly eachMs: number;
  /** A scoring among these ignored its abort and goes on. Only the end of its thread ends it. */
  readonly overdue: boolean;
};

/** What the scorer says of itself; null if nothing. */
export type Hello = { readonly waits: boolean | null };

const settings = workerData as ThreadSettings;
const scorer = await loadScorer(settings.scorerUrl);
const runningNow = new Set<Running>();
setInterval(() => showBeat(settings.signs), settings.beatMs).unref();

/** Thread entry. Piscina calls it again while earlier calls wait. */
export default async function work(order: Order): Promise<Replies | Hello> {
  switch (order.kind) {
    case 'hello':
      return { waits: scorer.waits ?? null };
    case 'score':
      return scoreGroup(order.items);
    case 'give-up':
      for (const running of runningNow) running.abort(new DOMException('the worker gives up', 'AbortError'));
      return { waits: null };
  }
}

async function loadScorer(url: string): Promise<Scorer> {
  const loaded: unknown = ((await import(url)) as { default?: unknown }).default;
  assertScorer(loaded, url);
  return loaded;
}

/** Calls the scorer for one body after the other, then waits for those that it answered with a promise. */
async function scoreGroup(items: readonly Item[]): Promise<Replies> {
  const beganAt = performance.now();
  const ended: Ended[] = [];
  const waiting: Running[] = [];
  for (const { id, body } of items) {
    const begun = begin(id, body);
    if ('over' in begun) waiting.push(begun);
    else ended.push(begun);
  }
  const all = Promise.all(waiting.map(({ over }) => over.then((end) => ended.push(end))));
  // An async function that waits for nothing is done before the event loop turns.
  if (waiting.length > 0) await settlesThisTurn(all);
  if (ended.length === items.length) return { ...repliesOf(ended), eachMs: (performance.now() - beganAt) / items.length };

  const post = createPost(ended, items.length);
  for (const running of waiting) {
    runningNow.add(running);
    running.limit(settings.timeoutMs);
    void running.over.then(() => {
      runningNow.delete(running);
      post();
    });
  }
  post();
  await all;
  return repliesOf(ended);
}

function begin(id: number, body: Uint8Array): Ended | Running {
  const control = new AbortController();
  const beganAt = performance.now();
  showBegin(settings.signs, id);
  const begun = scoreMessage(scorer, body, { weights: settings.weights, signal: control.signal });
  showReturn(settings.signs);
  if ('replyWith' in begun) return watchRunning({ id, beganAt, scorerName: nameOf(scorer), waiting: begun, control });
  return { id, reply: begun, tookMs: performance.now() - beganAt, overdue: false };
}

function repliesOf(ended: readonly Ended[]): Replies {
  return {
    ids: ended.map(({ id }) => id),
    replies: ended.map(({ reply }) => reply),
    eachMs: ended.reduce((sum, { tookMs }) => sum + tookMs, 0) / ended.length,
    overdue: ended.some(({ overdue }) => overdue),
  };
}

async function settlesThisTurn(work: Promise<unknown>): Promise<void> {
  const turn = Promise.withResolvers<void>();
  const immediate = setImmediate(turn.resolve);
  await Promise.race([work, turn.promise]);
  // While tasks follow each other, the thread's event loop does not turn: what is left there would pile up.
  clearImmediate(immediate);
}

/** @returns a function that posts what has ended since it was called last, unless the answer itself is about to bring it. */
function createPost(ended: readonly Ended[], expected: number): () => void {
  let posted = 0;
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      const fresh = ended.slice(posted);
      posted = ended.length;
      if (fresh.length > 0 && posted < expected) parentPort?.postMessage(repliesOf(fresh));
    });
  };
}
