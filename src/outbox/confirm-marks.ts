import { codeOf } from '../event/fault.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import type { Moved, Publication, StoreMarks } from './ports.ts';

export type ConfirmMarks = {
  /**
   * Records that the broker has the event. Never throws or waits.
   * @param dueInMs  time until relays may take the event.
   */
  add(mark: Publication, dueInMs: number): void;
  /** Writes all recorded marks now. */
  flush(): Promise<void>;
  readonly gauge: Gauge;
};

/**
 * Marks are written half a grace period after the publication: late enough that most events are already settled, so
 * that their marks change no row; early enough that the relay does not take the others for lost.
 */
const lagOfGrace = 0.5;
/**
 * Marks that come due within this time are written together. At full load that makes ten batches per second, of a few
 * hundred each.
 */
const gatherMs = 100;
/** Confirms that arrive late in the grace period are written soon, but still in batches. */
const lateLagMs = 20;
const maxBatch = 500;
/**
 * 20 s at 5,000 per second. Further marks are dropped; the relay then publishes these events again, which is harmless.
 */
const maxHeld = 100_000;
/** Attempts per batch after a deadlock or a broken connection, and per mark whose row another transaction holds. */
const mostTries = 3;
/** Writes to a row take milliseconds: showing that it is being processed, counting a start, settling it. */
const retryHeldMs = 200;

type Held = { readonly mark: Publication; readonly writeAt: number; readonly tries: number };

/**
 * Gathers confirms and writes them in batches, deliberately late. A lost mark costs one duplicate delivery, never an
 * event.
 */
export function createConfirmMarks(options: {
  readonly storeMarks: StoreMarks;
  readonly graceMs: number;
  readonly log: Logger;
}): ConfirmMarks {
  /** In the order in which they will be written. */
  const held: Held[] = [];
  /** Marks of late confirms, which are written first. */
  const late: Held[] = [];
  /** Marks whose rows were held by another transaction. */
  const again: Held[] = [];
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Number.POSITIVE_INFINITY;
  let writing: Promise<void> | null = null;

  /** Takes the next batch of marks that are due by `until`. */
  function take(until: number): Held[] {
    const batch = late.splice(0, maxBatch);
    const room = Math.min(held.length, maxBatch - batch.length);
    let due = 0;
    while (due < room && (held[due]?.writeAt ?? 0) <= until) due++;
    return [...batch, ...held.splice(0, due)];
  }

  /** One writer at a time; marks that arrive meanwhile wait in the bounded queues. */
  async function write(until: number): Promise<void> {
    for (let marks = take(until); marks.length > 0; marks = take(until)) {
      try {
        const stored = await writeBatch(marks.map(({ mark }) => mark));
        const writeAt = performance.now() + retryHeldMs;
        for (const { mark, tries } of marks)
          if (stored.held.has(mark.eventId) && tries < mostTries) again.push({ mark, writeAt, tries: tries + 1 });
      } catch (error) {
        // A conflict concerns only this batch. After any other error, later batches would fail as well.
        const others = isConflict(error) ? 0 : held.splice(0).length + late.splice(0).length;
        const dropped = marks.length + others;
        options.log.debug(
          { err: error, marks: dropped },
          'confirm marks not written; the relay will publish these events again',
        );
      }
    }
  }

  async function writeBatch(marks: readonly Publication[]): Promise<Moved> {
    for (let tries = 1; ; tries++) {
      try {
        return await options.storeMarks(marks);
      } catch (error) {
        const mayPass = codeOf(error) === 'DATABASE_DEADLOCK' || codeOf(error) === 'DATABASE_UNAVAILABLE';
        if (tries === mostTries || !mayPass) throw error;
      }
    }
  }

  function start(until: number): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    timerAt = Number.POSITIVE_INFINITY;
    writing ??= write(until).finally(() => {
      writing = null;
      late.push(...again.splice(0));
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
      if (held.length + late.length + again.length >= maxHeld) return;
      const now = performance.now();
      const writeAt = now + Math.max(lateLagMs, dueInMs - options.graceMs * (1 - lagOfGrace));
      const isLate = writeAt < (held.at(-1)?.writeAt ?? 0);
      (isLate ? late : held).push({ mark, writeAt, tries: 1 });
      if (writing === null) schedule(writeAt);
    },
    flush() {
      const all = () => start(Number.POSITIVE_INFINITY);
      return writing === null ? all() : writing.then(all);
    },
    gauge: { name: 'confirm_marks', bound: maxHeld, held: () => held.length + late.length + again.length },
  };
}

function isConflict(error: unknown): boolean {
  return codeOf(error) === 'DATABASE_DEADLOCK' || codeOf(error) === 'DATABASE_LOCKED';
}
