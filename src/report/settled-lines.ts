import type { ClosedNumber } from './ports.ts';

/** Longer than any transaction that closes events can live. */
const holdMs = 30_000;

/**
 * Numbers are taken before their transactions are committed: a line may appear after one with a higher number. So what
 * comes after a missing number waits until it is there, or is too old to come any more (it was rolled back).
 *
 * @param lines  after `position`, in order. @returns those that nothing can come before any more.
 */
export function settledLines<T extends ClosedNumber>(lines: readonly T[], position: number): readonly T[] {
  let last = position;
  for (const [i, { seq, ageMs }] of lines.entries()) {
    if (seq - last > 1 && ageMs < holdMs) return lines.slice(0, i);
    last = seq;
  }
  return lines;
}
