import type { EventId } from '../event/event.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';

/** `dueAt`: see `Claimed`; null for the fast path. It tells this publication from any other of the event. */
export type ConfirmMark = { readonly eventId: EventId; readonly dueAt: Date | null };
export type StoreMarks = (marks: readonly ConfirmMark[]) => Promise<void>;

export type ConfirmMarks = {
  /** Notes that the broker has the event. Never throws, never waits. */
  add(mark: ConfirmMark): void;
  /** Writes what is noted, now. */
  flush(): Promise<void>;
  readonly gauge: Gauge;
};

/**
 * Half the grace: late enough that most events are settled before and the mark touches nothing, early enough that the
 * relay does not take the rest for lost.
 */
const lagOfGrace = 0.5;
const maxBatch = 500;
/** 20 s at 5,000 a second. Marks beyond it are dropped: the relay then publishes these events twice, which is harmless. */
const maxHeld = 100_000;

/** Gathers confirms and writes them in batches, late on purpose. A lost mark costs one duplicate delivery, never an event. */
export function createConfirmMarks(options: {
  readonly storeMarks: StoreMarks;
  readonly graceMs: number;
  readonly log: Logger;
}): ConfirmMarks {
  const held: ConfirmMark[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | null = null;

  /** One writer at a time: what comes meanwhile waits in `held`, where it is bounded. */
  async function write(): Promise<void> {
    while (held.length > 0) {
      const marks = held.splice(0, maxBatch);
      try {
        await options.storeMarks(marks);
      } catch (error) {
        const lost = marks.length + held.splice(0).length;
        options.log.debug({ err: error, marks: lost }, 'confirm marks not written; the relay will publish these events again');
      }
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    writing ??= write().finally(() => {
      writing = null;
    });
    return writing;
  }

  return {
    add(mark) {
      if (held.length >= maxHeld) return;
      held.push(mark);
      timer ??= setTimeout(flush, options.graceMs * lagOfGrace);
    },
    flush,
    gauge: { name: 'confirm_marks', bound: maxHeld, held: () => held.length },
  };
}
