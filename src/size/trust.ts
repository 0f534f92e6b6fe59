/** A prediction and the run that was then made to check it. */
export type Check = {
  readonly workers: number;
  readonly concurrency: number;
  readonly predicted: number;
  readonly measured: number;
};

/** On an otherwise idle machine, runs of the same setting that are minutes apart differ by less. */
const mostOff = 0.2;
/** Share of the CPU that other processes may use before it is reported. */
const mostBusy = 0.1;

/** Relative error of a prediction; 0.1: a tenth too high. */
export function offBy({ predicted, measured }: Pick<Check, 'predicted' | 'measured'>): number {
  return predicted / measured - 1;
}

/** Whether the run should be repeated: something else on the machine may have disturbed it, or the runs before it. */
export function isOff(check: Pick<Check, 'predicted' | 'measured'>): boolean {
  return Math.abs(offBy(check)) > mostOff;
}

export function isQuiet(busyBefore: number): boolean {
  return busyBefore <= mostBusy;
}

/**
 * Why these figures should not be trusted; null if they can be.
 * @param busyBefore  share of the CPU that was in use before anything was measured.
 * @param checks  as they are after a second try.
 */
export function distrustOf(busyBefore: number, checks: readonly Check[]): string | null {
  const worst = checks.toSorted((a, b) => Math.abs(offBy(b)) - Math.abs(offBy(a)))[0];
  const reasons = [
    ...(isQuiet(busyBefore)
      ? []
      : [`${Math.round(busyBefore * 100)} % of the CPU was in use by others before the measurement`]),
    ...(worst !== undefined && isOff(worst)
      ? [
          `${worst.workers} x ${worst.concurrency} was predicted at ${Math.round(worst.predicted)}/s and measured, ` +
            `twice, at ${Math.round(worst.measured)}/s`,
        ]
      : []),
  ];
  return reasons.length === 0 ? null : reasons.join('; ');
}
