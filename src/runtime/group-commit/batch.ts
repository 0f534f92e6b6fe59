/** What one batch may hold. */
export type BatchLimits<T> = {
  readonly maxItems: number;
  /** Maximum total weight (in bytes, say) of one batch; an item that exceeds it forms a batch of its own. */
  readonly weight?: { readonly max: number; readonly of: (item: T) => number };
  /** Allowed batch sizes, ascending from 1; the largest that can be filled is used. Default: any size. */
  readonly sizes?: readonly number[];
};

/** @returns how many of the first `items` form the next batch; 0 only if there are none. */
export function batchSize<T>(items: Iterable<T>, { maxItems, weight, sizes }: BatchLimits<T>): number {
  let count = 0;
  let total = 0;
  for (const item of items) {
    total += weight?.of(item) ?? 0;
    if (count === maxItems || (count > 0 && weight !== undefined && total > weight.max)) break;
    count++;
  }
  return sizes?.findLast((size) => size <= count) ?? count;
}
