/** One check and its result. `advice` says what to do when it is not `ok`. */
export type Finding = {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly found: string;
  readonly advice?: string;
};

/** A check with two ends. */
export function judge(
  check: string,
  good: boolean,
  found: string,
  bad: { readonly warn: string } | { readonly fail: string },
): Finding {
  if (good) return { check, status: 'ok', found };
  return 'warn' in bad
    ? { check, status: 'warn', found, advice: bad.warn }
    : { check, status: 'fail', found, advice: bad.fail };
}

export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a = 0, b = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return a > major || (a === major && b >= minor);
}
