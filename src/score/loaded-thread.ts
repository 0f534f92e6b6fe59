import type { ConversationText } from '../event/conversation.ts';
import type { Outcome } from '../event/outcome.ts';
import type { StartThread, Thread, ThreadEnd } from './thread.ts';
import type { Replies } from './thread-entry.ts';

/** What became of a conversation: its outcome, or that it ended its thread. */
export type Scored = Outcome | { readonly kind: 'lost'; readonly hung: boolean; readonly code: string | null };

/** A conversation on its way to a score. One of the two functions is called, once. */
export type Entry = {
  readonly text: ConversationText;
  /** Length of the text. */
  readonly bytes: number;
  readonly resolve: (scored: Scored) => void;
  readonly reject: (error: unknown) => void;
};

/** A thread, and the entries it holds. */
export type LoadedThread = {
  readonly waits: boolean | null;
  readonly held: number;
  readonly heldBytes: number;
  isIdle(): boolean;
  give(entries: readonly Entry[]): void;
  /**
   * Rejects what it holds, and aborts it in the thread. Resolves when that has ended, at the latest after `withinMs`.
   */
  giveUp(reason: Error, withinMs: number): Promise<void>;
  end(): Promise<void>;
};

export type LoadedThreadEvents = {
  /** `count` entries were scored, which took `eachMs` on average. */
  readonly onScored: (count: number, eachMs: number, thread: LoadedThread) => void;
  /**
   * A scoring in it ignored its abort and still runs: it should be given nothing more, and ended once it holds nothing.
   */
  readonly onOverdue: (thread: LoadedThread) => void;
  /** The thread has ended by itself, or was hung and is ended. */
  readonly onLost: (thread: LoadedThread, lost: Lost) => void;
};

/**
 * What a thread held when it was lost, without the entry that is known to have ended it, if one is: that was told so.
 */
type Left = {
  /** One of these may have ended the thread, but which is not known. */
  readonly candidates: readonly Entry[];
  readonly innocent: readonly Entry[];
};

type Lost = Left &
  Pick<ThreadEnd, 'hung' | 'code'> & { /** Entries. */ readonly held: number; readonly livedMs: number };

/** @throws if the thread cannot be started. */
export async function startLoadedThread(
  startThread: StartThread,
  events: LoadedThreadEvents,
  stop: AbortSignal,
): Promise<LoadedThread> {
  /** By the number of their item, in the order in which they were given. */
  const held = new Map<number, Entry>();
  let heldBytes = 0;
  let given = 0;
  /** One whose reply has been given up still runs: whatever happens to the thread, it may be its doing. */
  let hasOverdue = false;
  const startedAt = performance.now();
  const thread: Thread = await startThread({ onReplies, onEnd }, stop);

  function onReplies({ ids, outcomes, eachMs, overdue }: Replies): void {
    let count = 0;
    for (const [i, id] of ids.entries()) {
      const entry = held.get(id);
      const outcome = outcomes[i];
      if (entry === undefined || outcome === undefined) continue;
      held.delete(id);
      heldBytes -= entry.bytes;
      count++;
      entry.resolve(outcome);
    }
    if (overdue && !hasOverdue) {
      hasOverdue = true;
      events.onOverdue(loaded);
    }
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
    get held() {
      return held.size;
    },
    get heldBytes() {
      return heldBytes;
    },
    isIdle: () => thread.isIdle(),
    give(entries) {
      const items = entries.map((entry) => {
        given = (given + 1) | 0;
        held.set(given, entry);
        heldBytes += entry.bytes;
        return { id: given, text: entry.text, bytes: entry.bytes };
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
 * Who ended the thread. The first entry that it was ever given did, as long as it is the only one; what earlier ones
 * left behind may have ended any other. One whose call never returned did, unless memory ran out, to which all of them
 * add.
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
