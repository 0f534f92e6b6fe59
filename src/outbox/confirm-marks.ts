import { PipelineError } from '../event/fault.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import type { Publication, StoreMarks } from './ports.ts';

export type ConfirmMarks = {
  /**
   * Notes that the broker has the event. Never throws, never waits.
   * @param dueInMs  time until relays may take the event.
   */
  add(mark: Publication, dueInMs: number): void;
  /** Writes what is noted, now. */
  flush(): Promise<void>;
  readonly gauge: Gauge;
};

/**
 * Half the grace from the publication on: late enough that most events are settled before and the mark touches nothing,
 * early enough that the relay does not take the rest for lost.
 */
const lagOfGrace = 0.5;
/**
 * Marks that come due within this time are written together: a few hundred at full load, ten times a second and not all
 * of them at once.
 */
const gatherMs = 100;
/** Confirms that come late in the grace are written soon, and still in company. */
const lateLagMs = 20;
const maxBatch = 500;
/**
 * 20 s at 5,000 a second. Marks beyond it are dropped: the relay then publishes these events twice, which is harmless.
 */
const maxHeld = 100_000;
/** Of one batch: a deadlock or a broken connection says nothing of the next try. */
const mostTries = 3;

type Held = Publication & { readonly writeAt: number };

/**
 * Gathers confirms and writes them in batches, late on purpose. A lost mark costs one duplicate delivery, never an
 * event.
 */
export function createConfirmMarks(options: {
  readonly storeMarks: StoreMarks;
  readonly graceMs: number;
  readonly log: Logger;
}): ConfirmMarks {
  /** In the order in which they are to be written. */
  const held: Held[] = [];
  /** Of confirms that came late: they are next. */
  const late: Held[] = [];
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Number.POSITIVE_INFINITY;
  let writing: Promise<void> | null = null;

  /** The next batch of those that are due by then. */
  function take(until: number): Held[] {
    const batch = late.splice(0, maxBatch);
    const room = Math.min(held.length, maxBatch - batch.length);
    let due = 0;
    while (due < room && (held[due]?.writeAt ?? 0) <= until) due++;
    return [...batch, ...held.splice(0, due)];
  }

  /** One writer at a time: what comes meanwhile waits, where it is bounded. */
  async function write(until: number): Promise<void> {
    for (let marks = take(until); marks.length > 0; marks = take(until)) {
      try {
        await writeBatch(marks);
      } catch (error) {
        // A database that is away answers nobody; a batch that was refused says nothing of the others.
        const others = isDeadlock(error) ? 0 : held.splice(0).length + late.splice(0).length;
        const dropped = marks.length + others;
        options.log.debug(
          { err: error, marks: dropped },
          'confirm marks not written; the relay will publish these events again',
        );
      }
    }
  }

  async function writeBatch(marks: readonly Publication[]): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await options.storeMarks(marks);
      } catch (error) {
        const isLast = tries === mostTries || !(isDeadlock(error) || isConnectionLost(error));
        if (isLast) throw error;
      }
    }
  }

  function start(until: number): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    timerAt = Number.POSITIVE_INFINITY;
    writing ??= write(until).finally(() => {
      writing = null;
      const next = late[0] ?? held[0];
      if (next !== undefined) schedule(next.writeAt);
    });
    return writing;
  }

  function schedule(at: number): void {
    if (at >= timerAt) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => void start(performance.now() + gatherMs), Math.max(1, at - performance.now()));
  }

  return {
    add(mark, dueInMs) {
      if (held.length + late.length >= maxHeld) return;
      const now = performance.now();
      const writeAt = now + Math.max(lateLagMs, dueInMs - options.graceMs * (1 - lagOfGrace));
      const isLate = writeAt < (held.at(-1)?.writeAt ?? 0);
      (isLate ? late : held).push({ ...mark, writeAt });
      if (writing === null) schedule(writeAt);
    },
    flush() {
      const all = () => start(Number.POSITIVE_INFINITY);
      return writing === null ? all() : writing.then(all);
    },
    gauge: { name: 'confirm_marks', bound: maxHeld, held: () => held.length + late.length },
  };
}

function isDeadlock(error: unknown): boolean {
  return error instanceof PipelineError && error.code === 'DATABASE_DEADLOCK';
}

/** Perhaps this connection alone: the next one may be good. */
function isConnectionLost(error: unknown): boolean {
  return error instanceof PipelineError && error.code === 'DATABASE_UNAVAILABLE';
}
