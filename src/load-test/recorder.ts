import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

export type Operation = 'submit' | 'status';

/** Percentiles in milliseconds; null without an answer. */
type Latency = { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };

export type Figures = {
  readonly requests: number;
  /** Reason: a status with its code, or why there was no answer. Most frequent first. */
  readonly errors: readonly { readonly reason: string; readonly count: number }[];
  readonly latency: Latency | null;
};

/** One interval of a run. */
export type Sample = {
  /** Seconds since the start. */
  readonly seconds: number;
  readonly users: number;
  readonly perSecond: number;
  readonly errorsPerSecond: number;
  /** As in `Figures`, of this interval. */
  readonly errors: Figures['errors'];
  readonly latency: Latency | null;
  /** Messages that wait in the queue; null if the API does not say. */
  readonly queued: number | null;
};

export type Recorder = {
  /** @param reason  null: the answer was as it should be. */
  record(operation: Operation, ms: number, reason: string | null): void;
  /** A request without an answer: counts as an error, and has no latency. */
  recordNone(operation: Operation, reason: string): void;
  /** What came since the last sample. */
  sample(now: { readonly seconds: number; readonly users: number; readonly queued: number | null }): Sample;
  /** Of the whole run. */
  totals(): Readonly<Record<Operation | 'all', Figures>>;
};

/** Distinct reasons that are kept. */
const mostReasons = 100;

type Counts = { requests: number; readonly errors: Map<string, number>; readonly times: RecordableHistogram };

export function createRecorder(): Recorder {
  const fresh = (): Counts => ({ requests: 0, errors: new Map(), times: createHistogram() });
  const totals: Record<Operation | 'all', Counts> = { submit: fresh(), status: fresh(), all: fresh() };
  let recent = fresh();
  let lastSeconds = 0;

  /** @param ms  null: there was no answer. A dead service would have the best latency of all. */
  function add(to: Counts, ms: number | null, reason: string | null): void {
    to.requests++;
    if (ms !== null) to.times.record(Math.max(1, Math.round(ms * 1_000)));
    if (reason === null) return;
    const kept = to.errors.has(reason) || to.errors.size < mostReasons ? reason : 'other';
    to.errors.set(kept, (to.errors.get(kept) ?? 0) + 1);
  }

  return {
    record(operation, ms, reason) {
      for (const counts of [totals[operation], totals.all, recent]) add(counts, ms, reason);
    },
    recordNone(operation, reason) {
      for (const counts of [totals[operation], totals.all, recent]) add(counts, null, reason);
    },
    sample({ seconds, users, queued }) {
      const elapsed = Math.max(0.001, seconds - lastSeconds);
      const errors = errorsOf(recent);
      const sample = {
        seconds,
        users,
        perSecond: recent.requests / elapsed,
        errorsPerSecond: errors.reduce((sum, { count }) => sum + count, 0) / elapsed,
        errors,
        latency: latencyOf(recent),
        queued,
      };
      recent = fresh();
      lastSeconds = seconds;
      return sample;
    },
    totals: () => ({ submit: figures(totals.submit), status: figures(totals.status), all: figures(totals.all) }),
  };
}

function figures(counts: Counts): Figures {
  return { requests: counts.requests, errors: errorsOf(counts), latency: latencyOf(counts) };
}

function errorsOf({ errors }: Counts): Figures['errors'] {
  return [...errors].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

function latencyOf({ times }: Counts): Latency | null {
  if (times.count === 0) return null;
  const ms = (micros: number) => micros / 1_000;
  return {
    p50: ms(times.percentile(50)),
    p95: ms(times.percentile(95)),
    p99: ms(times.percentile(99)),
    max: ms(times.max),
  };
}
