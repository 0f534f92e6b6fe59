/**
 * Bounds of a score that never falls below 0, after `changes` in order. Changes with the same time were committed
 * together, in an order that is not stored, so the floor allows a range. Without a negative change, both bounds equal
 * the sum.
 *
 * @param changes  in whole units, in the order of their commit times. @param start  the score before them.
 */
export function replayBounds(
  changes: readonly { readonly change: number; readonly processedAt: Date }[],
  start: { readonly low: number; readonly high: number } = { low: 0, high: 0 },
): { low: number; high: number } {
  let { low, high } = start;
  for (const group of Map.groupBy(changes, (c) => c.processedAt.getTime()).values()) {
    const gains = sum(group.filter((c) => c.change > 0));
    const losses = sum(group.filter((c) => c.change < 0));
    low = Math.max(0, low + gains + losses); // gains first: the floor takes effect least
    high = Math.max(0, high + losses) + gains;
  }
  return { low, high };
}

function sum(changes: readonly { readonly change: number }[]): number {
  return changes.reduce((total, c) => total + c.change, 0);
}
