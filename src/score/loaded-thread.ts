import type { ConversationText } from '../event/conversation.ts';
import type { Outcome } from '../event/outcome.ts';
import type { ThreadRun } from '../runtime/spans.ts';
import type { StartThread, Thread, ThreadEnd } from './thread.ts';
import type { Replies } from './thread-entry.ts';

/** The result of a conversation: its outcome, or that it ended its thread. */
export type Scored = Outcome | { readonly kind: 'lost'; readonly hung: boolean; readonly code: string | null };

/** A conversation to be scored. Exactly one of the two functions is called, once. */
export type Entry = {
  readonly text: ConversationText;
  /** Length of the text. */
  readonly bytes: number;
  /** When a thread took it last, as `performance.now()` counts. */
  takenAt: number;
  /** For what the scorer calls; not set without traces. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** `ran`: if it has headers. */
  readonly resolve: (scored: Scored, ran?: ThreadRun) => void;
  readonly reject: (error: unknown) => void;
};

/** A thread, and the entries it holds. */
export type LoadedThread = {
  readonly waits: boolean | null;
  readonly held: number;
  readonly heldBytes: number;
  /** Entries that it has scored. */
  readonly scored: number;
  /** Bytes of its heap that are in use. */
  readonly heapBytes: number;
  /** The same after its first scorings; infinite before. A scorer may load what it needs with the first of them. */
  readonly firstHeapBytes: number;
  isIdle(): boolean;
  profile: Thread['profile'];
  give(entries: readonly Entry[]): void;
  /**
   * Rejects the entries it holds and aborts them in the thread. Resolves when they have ended, at the latest after
   * `withinMs`.
   */
  giveUp(reason: Error, withinMs: number): Promise<void>;
  end(): Promise<void>;
};

export type LoadedThreadEvents = {
  /** `count` entries were scored; each took `eachMs` on average. */
  readonly onScored: (count: number, eachMs: number, thread: LoadedThread) => void;
  /**
   * A scoring ignored its abort and still runs: the thread should get nothing more, and be ended once it holds nothing.
   */
  readonly onOverdue: (thread: LoadedThread) => void;
  /** The thread has ended on its own, or has hung and is being ended. */
  readonly onLost: (thread: LoadedThread, lost: Lost) => void;
};

/**
 * What a thread held when it was lost, except the entry that is known to have ended it, if any: that one is resolved.
 */
type Left = {
  /** One of these may have ended the thread, but it is not known which. */
  readonly candidates: readonly Entry[];
  readonly innocent: readonly Entry[];
};

type Lost = Left &
  Pick<ThreadEnd, 'hung' | 'code'> & { /** Entries. */ readonly held: number; readonly livedMs: number };

/** After this many, a scorer has loaded what it needs. */
const firstScorings = 5;

/** @throws if the thread cannot be started. */
export async function startLoadedThread(
  startThread: StartThread,
  events: LoadedThreadEvents,
  stop: AbortSignal,
): Promise<LoadedThread> {
  /** By item number, in the order in which they were given. */
  const held = new Map<number, Entry>();
  let heldBytes = 0;
  let given = 0;
  let scored = 0;
  let firstHeapBytes = Number.POSITIVE_INFINITY;
  /** An entry that is overdue still runs, so it may be the cause of whatever happens to the thread. */
  let hasOverdue = false;
  const startedAt = performance.now();
  const thread: Thread = await startThread({ onReplies, onEnd }, stop);

  function onReplies({ ids, outcomes, eachMs, overdue, runs }: Replies): void {
    let count = 0;
    for (const [i, id] of ids.entries()) {
      const entry = held.get(id);
      const outcome = outcomes[i];
      if (entry === undefined || outcome === undefined) continue;
      held.delete(id);
      heldBytes -= entry.bytes;
      count++;
      entry.resolve(outcome, runs?.[i]);
    }
    if (overdue && !hasOverdue) {
      hasOverdue = true;
      events.onOverdue(loaded);
    }
    scored += count;
    if (firstHeapBytes === Number.POSITIVE_INFINITY && scored >= firstScorings) firstHeapBytes = thread.heapBytes;
    if (count > 0) events.onScored(count, eachMs, loaded);
  }

  function onEnd(end: ThreadEnd): void {
    const { culprit, ...left } = judge(held, end, hasOverdue);
    const lost = { ...left, held: held.size, hung: end.hung, code: end.code, livedMs: performance.now() - startedAt };
    held.clear();
    heldBytes = 0;
    culprit?.resolve({ kind: 'lost', hung: end.hung, code: end.code });
    events.onLost(loaded, lost);
  }

  const loaded: LoadedThread = {
    waits: thread.waits,
    get firstHeapBytes() {
      return firstHeapBytes;
    },
    get held() {
      return held.size;
    },
    get heldBytes() {
      return heldBytes;
    },
    get scored() {
      return scored;
    },
    get heapBytes() {
      return thread.heapBytes;
    },
    isIdle: () => thread.isIdle(),
    profile: (ms, stop) => thread.profile(ms, stop),
    give(entries) {
      const items = entries.map((entry) => {
        given = (given + 1) | 0;
        held.set(given, entry);
        heldBytes += entry.bytes;
        return { id: given, text: entry.text, bytes: entry.bytes, headers: entry.headers };
      });
      thread.give(items);
    },
    async giveUp(reason, withinMs) {
      const entries = [...held.values()];
      held.clear();
      heldBytes = 0;
      for (const entry of entries) entry.reject(reason);
      await thread.giveUp(withinMs);
    },
    end: () => thread.end(),
  };
  return loaded;
}

const outOfMemory = 'ERR_WORKER_OUT_OF_MEMORY';

/**
 * Decides which entry ended the thread. If only one was ever begun in it, that one did; with others before it,
 * something that they left running may have. An entry whose call never returned did, unless memory ran out, since all
 * of them use memory.
 */
function judge(
  held: ReadonlyMap<number, Entry>,
  end: ThreadEnd,
  hasOverdue: boolean,
): Left & { readonly culprit: Entry | null } {
  const begun = [...held].filter(([id]) => ((end.begun - id) | 0) >= 0).map(([, entry]) => entry);
  const running = end.running && end.code !== outOfMemory ? held.get(end.begun) : undefined;
  const alone = end.begun === 1 ? begun[0] : undefined;
  const culprit = running ?? alone ?? null;
  const candidates = culprit === null && !hasOverdue ? begun : [];
  const innocent = [...held.values()].filter((entry) => entry !== culprit && !candidates.includes(entry));
  return { culprit, candidates, innocent };
}
