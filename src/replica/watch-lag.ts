import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../runtime/log.ts';

const everyMs = 1_000;
const recentMs = 3_000;

export type ReplicaWatch = {
  /** It answers, and what was written on the primary longer ago than the bound is there. */
  readonly isFresh: boolean;
  /** Milliseconds; null while it is not known. */
  readonly lagMs: number | null;
  /** A read failed there: it is not asked again before the next look. */
  distrust(): void;
  /** Looks now. */
  look(): Promise<void>;
  close(): Promise<void>;
};

/**
 * Looks every second how far a replica is behind: when the primary was last written to (it is, by each look), and what
 * the replica has of that. No server tells it so exactly, and for most one needs rights of an administrator.
 *
 * @param options.beat  writes the time on the primary; returns it, and what was there before (null: nothing).
 * @param options.readBeat  the same row on the replica.
 */
export function watchLag(options: {
  readonly beat: () => Promise<{ readonly now: Date; readonly before: Date | null }>;
  readonly readBeat: () => Promise<Date | null>;
  readonly maxLagMs: number;
  readonly log: Logger;
}): ReplicaWatch {
  const { maxLagMs, log } = options;
  const stop = new AbortController();
  let isFresh = false;
  let lagMs: number | null = null;
  /** As it was last told. */
  let told: boolean | null = null;

  function tell(why: object): void {
    if (told === isFresh) return;
    told = isFresh;
    if (isFresh) log.info({ lagMs }, 'reports are read from the replica');
    else
      log.warn({ lagMs, maxLagMs, ...why }, 'the replica is away or too far behind: reports are read from the primary');
  }

  async function look(): Promise<void> {
    let there: Date | null;
    try {
      there = await options.readBeat();
    } catch (error) {
      [isFresh, lagMs] = [false, null];
      return tell({ err: error });
    }
    let written: Awaited<ReturnType<typeof options.beat>>;
    try {
      written = await options.beat();
    } catch {
      // Nothing is written that the replica could be missing: it stays what it was.
      return;
    }
    const { now, before } = written;
    lagMs = there === null || before === null ? null : Math.max(0, before.getTime() - there.getTime());
    // If the last beat was long ago, a replica that has it may lack what was written since.
    const isRecent = before !== null && now.getTime() - before.getTime() <= recentMs;
    isFresh = isRecent && lagMs !== null && lagMs <= maxLagMs;
    tell({});
  }

  const looking = (async () => {
    while (!stop.signal.aborted) {
      await look();
      await delay(everyMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();

  return {
    get isFresh() {
      return isFresh;
    },
    get lagMs() {
      return lagMs;
    },
    distrust() {
      isFresh = false;
    },
    look,
    async close() {
      stop.abort();
      await looking;
    },
  };
}
