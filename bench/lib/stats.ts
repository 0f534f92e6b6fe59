/**
 * A figure of several rounds. Rounds of different subjects alternate, so that a slow minute of the machine affects all
 * of them.
 */
export type Figure = {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: readonly number[];
};

export function figure(rounds: readonly number[]): Figure {
  const sorted = rounds.toSorted((a, b) => a - b);
  const at = (p: number) => sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
  const middle =
    sorted.length % 2 ? at(0.5) : ((sorted[sorted.length / 2 - 1] ?? 0) + (sorted[sorted.length / 2] ?? 0)) / 2;
  return { median: middle, low: at(0), high: at(1), rounds };
}

/** The best rate of stages in sequence, if each costs what it costs alone: 1 / (1/a + 1/b + …). */
export function composed(...rates: readonly number[]): number {
  return 1 / rates.reduce((sum, rate) => sum + 1 / rate, 0);
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}
