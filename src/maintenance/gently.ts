import { codeOf, faultOf } from '../event/fault.ts';
import { pause } from '../runtime/wait.ts';
import type { Page } from './ports.ts';

/** Of the time: what else the database has to do comes first. Measured in docs/performance.md. */
const workingShare = 0.2;
/** A page that loses a lock to the fleet, or finds the database away, is made again. */
const mostTries = 5;
const againMs = 2_000;

/**
 * Removes page after page, with pauses that grow with what a page takes.
 * @throws what the last try of a page threw; the signal's reason.
 */
export async function gently<Position>(
  first: Position,
  remove: (from: Position) => Promise<Page<Position>>,
  { signal, removed }: { readonly signal: AbortSignal; readonly removed: (rows: number) => void },
): Promise<number> {
  let rows = 0;
  for (let from: Position | null = first; from !== null; ) {
    const began = performance.now();
    const page: Page<Position> = await stubbornly(remove, from, signal);
    rows += page.removed;
    removed(page.removed);
    from = page.next;
    if (from !== null) await pause((performance.now() - began) * (1 / workingShare - 1), signal);
  }
  return rows;
}

async function stubbornly<Position>(
  remove: (from: Position) => Promise<Page<Position>>,
  from: Position,
  signal: AbortSignal,
): Promise<Page<Position>> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    try {
      return await remove(from);
    } catch (error) {
      // Nobody waits for this run: an error that nobody knows (a right is missing, say) is not tried again.
      const mayPass = faultOf(error) === 'transient' && codeOf(error) !== 'DATABASE_ERROR';
      if (!mayPass || tries === mostTries) throw error;
      await pause(againMs * tries, signal);
    }
  }
}
