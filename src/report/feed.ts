import { pause } from '../runtime/wait.ts';
import type { ClosedLine, ReadClosed, ReadNewestClosed } from './ports.ts';
import { settledLines } from './settled-lines.ts';

export type Feed = {
  /**
   * Where a stream begins: at what was seen before, or so that what is closed from now on comes after it.
   * @param seen  null: nothing.
   */
  begin(seen: number | null): Promise<number>;
  /**
   * The lines after a position, at least one; waits for it. All who wait at the same position share the reads.
   * @returns null when `signal` fires. @throws {PipelineError} transient
   */
  after(position: number, signal: AbortSignal): Promise<readonly ClosedLine[] | null>;
};

const pollMs = 250;
const maxLines = 200;
/** For a beginning: more than are closed in the time for which a number may still be missing. */
const maxNumbers = 20_000;

/** Reads which events were closed, in order and without gaps. */
export function createFeed(options: {
  readonly readClosed: ReadClosed;
  readonly readNewestClosed: ReadNewestClosed;
}): Feed {
  /** Reads in progress, with how many wait for each. */
  const reading = new Map<number, { lines: Promise<readonly ClosedLine[]>; waiting: number }>();

  async function poll(position: number): Promise<readonly ClosedLine[]> {
    for (;;) {
      const lines = settledLines(await options.readClosed(position, maxLines), position);
      if (lines.length > 0 || (reading.get(position)?.waiting ?? 0) === 0) return lines;
      await pause(pollMs, never);
    }
  }

  async function join(position: number, signal: AbortSignal): Promise<readonly ClosedLine[] | null> {
    let shared = reading.get(position);
    if (shared === undefined) {
      shared = { lines: Promise.resolve([]), waiting: 0 };
      reading.set(position, shared);
      shared.lines = poll(position).finally(() => reading.delete(position));
    }
    shared.waiting++;
    const left = Promise.withResolvers<null>();
    const leave = () => left.resolve(null);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([shared.lines, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      shared.waiting--;
      shared.lines.catch(() => {}); // nobody may wait any more
    }
  }

  return {
    async begin(seen) {
      const lines = await options.readNewestClosed(seen === null ? maxNumbers : 1);
      const first = lines[0];
      if (first === undefined) return 0;
      // What is above every number was seen in another database, or never.
      if (seen !== null && seen <= (lines.at(-1)?.seq ?? 0)) return seen;
      return settledLines(lines, first.seq - 1).at(-1)?.seq ?? first.seq - 1;
    },
    async after(position, signal) {
      for (;;) {
        if (signal.aborted) return null;
        const lines = await join(position, signal);
        // None: it stopped reading because nobody waited, just when this one came.
        if (lines === null || lines.length > 0) return lines;
      }
    },
  };
}

const never = new AbortController().signal;
