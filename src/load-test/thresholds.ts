import type { Figures } from './recorder.ts';

/** A limit of a run, such as `p99>100ms` or `errors>0.1%`. */
export type Threshold = {
  readonly text: string;
  readonly of: 'p50' | 'p95' | 'p99' | 'max' | 'errors';
  /** Milliseconds; for errors a share of the requests. */
  readonly above: number;
};

/** @returns null if the text is not a threshold. */
export function parseThreshold(text: string): Threshold | null {
  const time = /^(p50|p95|p99|max)\s*>\s*(\d+(?:\.\d+)?)\s*(ms|s)$/.exec(text.trim());
  if (time !== null) {
    const [, of, value, unit] = time;
    return { text: text.trim(), of: of as 'p50', above: Number(value) * (unit === 's' ? 1_000 : 1) };
  }
  const share = /^errors\s*>\s*(\d+(?:\.\d+)?)\s*%$/.exec(text.trim());
  if (share === null || Number(share[1]) >= 100) return null;
  return { text: text.trim(), of: 'errors', above: Number(share[1]) / 100 };
}

/** Those that the run is above, with what it was. */
export function exceeded(thresholds: readonly Threshold[], { requests, errors, latency }: Figures): string[] {
  return thresholds.flatMap(({ text, of, above }) => {
    if (of === 'errors') {
      const share = errors.reduce((sum, { count }) => sum + count, 0) / Math.max(1, requests);
      return share > above ? [`${text}: ${(share * 100).toFixed(2)} %`] : [];
    }
    const value = latency?.[of] ?? 0;
    return value > above ? [`${text}: ${value.toFixed(1)} ms`] : [];
  });
}
