/** A prediction and the run that was made after it. */
export type Check = {
  readonly workers: number;
  readonly concurrency: number;
  readonly predicted: number;
  readonly measured: number;
};

/** Runs of the same setting, minutes apart, differ by less on a machine that does nothing else. */
const mostOff = 0.2;
/** Share of the CPU that others may use before it is said. */
const mostBusy = 0.1;

/** How far a prediction was from its run; 0.1: a tenth too much. */
export function offBy({ predicted, measured }: Pick<Check, 'predicted' | 'measured'>): number {
  return predicted / measured - 1;
}

/** Whether the run should be made again: it, or the runs before it, may have met something else on the machine. */
export function isOff(check: Pick<Check, 'predicted' | 'measured'>): boolean {
  return Math.abs(offBy(check)) > mostOff;
}

export function isQuiet(busyBefore: number): boolean {
  return busyBefore <= mostBusy;
}

/**
 * Why nobody should plan by these figures; null if they may.
 * @param busyBefore  share of the CPU that was in use before anything was measured.
 * @param checks  as they stand after a second try.
 */
export function distrustOf(busyBefore: number, checks: readonly Check[]): string | null {
  const worst = checks.toSorted((a, b) => Math.abs(offBy(b)) - Math.abs(offBy(a)))[0];
  const reasons = [
    ...(isQuiet(busyBefore)
      ? []
      : [`${Math.round(busyBefore * 100)} % of the CPU was in use by others before the measurement`]),
    ...(worst !== undefined && isOff(worst)
      ? [
          `${worst.workers} x ${worst.concurrency} was predicted at ${Math.round(worst.predicted)}/s and measured, twice, at ${Math.round(worst.measured)}/s`,
        ]
      : []),
  ];
  return reasons.length === 0 ? null : reasons.join('; ');
}
