type Waiting<T, R> = { readonly item: T; resolve(result: R): void; reject(error: unknown): void };

/**
 * Gathers items that come at about the same time into one call: at most `most` of one kind, and for at most `waitMs`.
 *
 * @param run  answers in the order of the items. If it rejects, all of them do.
 */
export function gather<T, R>(
  run: (items: readonly T[]) => Promise<readonly R[]>,
  { most, waitMs, kindOf }: { readonly most: number; readonly waitMs: number; readonly kindOf: (item: T) => string },
): (item: T) => Promise<R> {
  const open = new Map<string, { readonly waiting: Waiting<T, R>[]; send(): void }>();

  function begin(kind: string) {
    const waiting: Waiting<T, R>[] = [];
    const send = () => {
      clearTimeout(timer);
      open.delete(kind);
      run(waiting.map(({ item }) => item)).then(
        (results) => waiting.forEach((one, i) => void one.resolve(results[i] as R)),
        (error: unknown) => waiting.forEach((one) => void one.reject(error)),
      );
    };
    const timer = setTimeout(send, waitMs);
    const batch = { waiting, send };
    open.set(kind, batch);
    return batch;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      const kind = kindOf(item);
      const batch = open.get(kind) ?? begin(kind);
      batch.waiting.push({ item, resolve, reject });
      if (batch.waiting.length >= most) batch.send();
    });
}
