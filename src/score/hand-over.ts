/** Scores a group in one thread, its replies in order; rejects if the thread ended under it. */
export type RunGroup<R> = (bodies: readonly Uint8Array[]) => Promise<{ readonly replies: readonly R[]; readonly tookMs: number }>;

export type HandOver<R> = {
  /** Waits for a free thread. Rejects when the thread ended while this body was alone in it, and when `close` was called. */
  submit(body: Uint8Array): Promise<R>;
  /** What no thread has yet. */
  readonly waiting: number;
  /** Rejects what waits. */
  close(reason: Error): void;
};

/**
 * Work of this long goes to a thread at once. Waking a thread and hearing from it cost about 70 µs (docs/decisions/0013): at a millisecond
 * that is little, and a millisecond is what nobody notices.
 */
const groupMs = 1;
const maxGroup = 64;
const maxGroupBytes = 1_024 * 1_024;

type Waiting<R> = {
  readonly body: Uint8Array;
  /** It was in a group whose thread ended: whose fault that was shows when each runs by itself. */
  readonly alone: boolean;
  readonly resolve: (reply: R) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Hands message bodies to scoring threads: one at a time where scoring takes long, several together where the hand-over would cost more
 * than the scoring. A group whose thread ends is run again one by one, so that no message pays for another.
 */
export function createHandOver<R>(options: { readonly threads: number; readonly run: RunGroup<R> }): HandOver<R> {
  let waiting: Waiting<R>[] = [];
  let free = options.threads;
  let scheduled = false;
  let closed: Error | null = null;
  /** Of one message, over the last ten or so; unknown until one was scored. */
  let averageMs = Number.POSITIVE_INFINITY;

  function schedule(): void {
    if (scheduled || free === 0 || waiting.length === 0) return;
    scheduled = true;
    // All that one read of the socket brought is there by then.
    queueMicrotask(() => {
      scheduled = false;
      while (free > 0 && waiting.length > 0) void run(takeGroup());
    });
  }

  function takeGroup(): Waiting<R>[] {
    const most = Math.min(maxGroup, Math.max(1, Math.floor(groupMs / averageMs)));
    let bytes = 0;
    let n = 0;
    for (const { body, alone } of waiting) {
      bytes += body.length;
      if (n > 0 && (n >= most || alone || bytes > maxGroupBytes)) break;
      n++;
      if (alone) break;
    }
    return waiting.splice(0, n);
  }

  async function run(group: readonly Waiting<R>[]): Promise<void> {
    free--;
    try {
      const { replies, tookMs } = await options.run(group.map(({ body }) => body));
      const eachMs = tookMs / group.length;
      averageMs = averageMs === Number.POSITIVE_INFINITY ? eachMs : averageMs + (eachMs - averageMs) * Math.min(1, group.length / 10);
      for (const [i, { resolve }] of group.entries()) resolve(replies[i] as R);
    } catch (error) {
      fail(group, error);
    } finally {
      free++;
      schedule();
    }
  }

  function fail(group: readonly Waiting<R>[], error: unknown): void {
    averageMs = Number.POSITIVE_INFINITY;
    if (closed === null && group.length > 1) waiting = [...group.map((entry) => ({ ...entry, alone: true })), ...waiting];
    else for (const { reject } of group) reject(error);
  }

  return {
    submit(body) {
      if (closed !== null) return Promise.reject(closed);
      return new Promise((resolve, reject) => {
        waiting.push({ body, alone: false, resolve, reject });
        schedule();
      });
    },
    get waiting() {
      return waiting.length;
    },
    close(reason) {
      closed = reason;
      for (const { reject } of waiting.splice(0)) reject(reason);
    },
  };
}
