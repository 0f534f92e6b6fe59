import type { ScoreReply } from './scoring.ts';
import type { Replies } from './task.ts';
import type { StartThread, Thread, ThreadEnd } from './thread.ts';

/** What became of a body: the thread's reply, or that it ended its thread. */
export type Scored = ScoreReply | { readonly kind: 'lost'; readonly hung: boolean; readonly code: string | null };

/** A body on its way to a score. One of the two functions is called, once. */
export type Entry = {
  readonly body: Uint8Array;
  readonly resolve: (scored: Scored) => void;
  readonly reject: (error: unknown) => void;
};

/** A thread, and the entries it holds. */
export type LoadedThread = {
  readonly waits: boolean | null;
  readonly held: number;
  readonly heldBytes: number;
  isWaiting(): boolean;
  give(entries: readonly Entry[]): void;
  /** Rejects what it holds, and aborts it in the thread. Resolves when that has ended, at the latest after `withinMs`. */
  giveUp(reason: Error, withinMs: number): Promise<void>;
  end(): Promise<void>;
};

export type LoadedThreadEvents = {
  /** `count` entries were scored, which took `eachMs` on average. */
  readonly onScored: (count: number, eachMs: number, thread: LoadedThread) => void;
  /** A scoring in it ignored its abort and still runs: it should be given nothing more, and ended once it holds nothing. */
  readonly onOverdue: (thread: LoadedThread) => void;
  /** The thread has ended by itself, or was hung and is ended. */
  readonly onLost: (thread: LoadedThread, left: Left) => void;
};

/** What a thread held when it was lost, without the entry that is known to have ended it, if one is: that was told so. */
export type Left = {
  /** One of these has ended the thread, but which is not known. */
  readonly suspects: readonly Entry[];
  readonly innocent: readonly Entry[];
};

/** `order`: how many were given to the thread before and with it, counted in 32 bits. */
type Holding = { readonly entry: Entry; readonly order: number };

/** Numbers of items are positive and fit into 32 bits with their sign. */
const lastNumber = 2 ** 31 - 1;
let numbered = 0;

/** @throws if the thread cannot be started. */
export async function startLoadedThread(startThread: StartThread, events: LoadedThreadEvents): Promise<LoadedThread> {
  /** By number, in the order in which they were given. */
  const held = new Map<number, Holding>();
  let heldBytes = 0;
  let given = 0;
  /** One whose reply has been given up still runs: whatever happens to the thread, it may be its doing. */
  let hasOverdue = false;
  const thread: Thread = await startThread({ onReplies, onEnd });

  function onReplies({ ids, replies, eachMs, overdue }: Replies): void {
    let count = 0;
    for (const [i, id] of ids.entries()) {
      const entry = held.get(id)?.entry;
      const reply = replies[i];
      if (entry === undefined || reply === undefined) continue;
      held.delete(id);
      heldBytes -= entry.body.length;
      count++;
      entry.resolve(reply);
    }
    if (overdue && !hasOverdue) {
      hasOverdue = true;
      events.onOverdue(loaded);
    }
    if (count > 0) events.onScored(count, eachMs, loaded);
  }

  function onEnd(end: ThreadEnd): void {
    const { culprit, ...left } = judge(held, end, hasOverdue);
    held.clear();
    heldBytes = 0;
    culprit?.resolve({ kind: 'lost', hung: end.hung, code: end.code });
    events.onLost(loaded, left);
  }

  const loaded: LoadedThread = {
    waits: thread.waits,
    get held() {
      return held.size;
    },
    get heldBytes() {
      return heldBytes;
    },
    isWaiting: () => thread.isWaiting(),
    give(entries) {
      const items = entries.map((entry) => {
        numbered = numbered === lastNumber ? 1 : numbered + 1;
        given = (given + 1) | 0;
        held.set(numbered, { entry, order: given });
        heldBytes += entry.body.length;
        return { id: numbered, body: entry.body };
      });
      thread.give(items);
    },
    async giveUp(reason, withinMs) {
      const entries = [...held.values()];
      held.clear();
      heldBytes = 0;
      for (const { entry } of entries) entry.reject(reason);
      await thread.giveUp(withinMs);
    },
    end: () => thread.end(),
  };
  return loaded;
}

const outOfMemory = 'ERR_WORKER_OUT_OF_MEMORY';

/** Who ended the thread. One entry alone did; one whose call never returned did, unless memory ran out, to which all of them add. */
function judge(held: ReadonlyMap<number, Holding>, end: ThreadEnd, hasOverdue: boolean): Left & { readonly culprit: Entry | null } {
  const hasBegun = ({ order }: Holding) => ((end.begun - order) | 0) >= 0;
  const begun = [...held.values()].filter(hasBegun).map(({ entry }) => entry);
  const running = end.running !== null && end.code !== outOfMemory ? held.get(end.running)?.entry : undefined;
  const alone = begun.length === 1 && !hasOverdue ? begun[0] : undefined;
  const culprit = running ?? alone ?? null;
  const suspects = culprit === null && !hasOverdue ? begun : [];
  const innocent = [...held.values()].map(({ entry }) => entry).filter((entry) => entry !== culprit && !suspects.includes(entry));
  return { culprit, suspects, innocent };
}
