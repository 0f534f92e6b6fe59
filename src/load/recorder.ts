import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

export type Operation = 'submit' | 'status';

/** Percentiles in milliseconds; null without a request. */
type Latency = { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };

export type Figures = {
  readonly requests: number;
  /** By reason: a status with its code, or why there was no answer. */
  readonly errors: Readonly<Record<string, number>>;
  readonly latency: Latency | null;
};

/** One interval of a run. */
export type Sample = {
  /** Seconds since the start. */
  readonly at: number;
  readonly users: number;
  readonly perSecond: number;
  readonly errorsPerSecond: number;
  readonly latency: Latency | null;
  /** Messages that wait in the queue; null if the API does not say. */
  readonly queued: number | null;
};

export type Recorder = {
  /** @param reason  null: the answer was as it should be. */
  record(operation: Operation, ms: number, reason: string | null): void;
  /** What came since the last sample. */
  sample(at: { readonly s: number; readonly users: number; readonly queued: number | null }): Sample;
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
  let lastS = 0;

  function add(to: Counts, ms: number, reason: string | null): void {
    to.requests++;
    to.times.record(Math.max(1, Math.round(ms * 1_000)));
    if (reason === null) return;
    const kept = to.errors.has(reason) || to.errors.size < mostReasons ? reason : 'other';
    to.errors.set(kept, (to.errors.get(kept) ?? 0) + 1);
  }

  return {
    record(operation, ms, reason) {
      for (const counts of [totals[operation], totals.all, recent]) add(counts, ms, reason);
    },
    sample({ s, users, queued }) {
      const seconds = Math.max(0.001, s - lastS);
      const errors = [...recent.errors.values()].reduce((sum, n) => sum + n, 0);
      const sample = {
        at: s,
        users,
        perSecond: recent.requests / seconds,
        errorsPerSecond: errors / seconds,
        latency: latencyOf(recent),
        queued,
      };
      recent = fresh();
      lastS = s;
      return sample;
    },
    totals: () => ({ submit: figures(totals.submit), status: figures(totals.status), all: figures(totals.all) }),
  };
}

function figures(counts: Counts): Figures {
  return { requests: counts.requests, errors: Object.fromEntries(counts.errors), latency: latencyOf(counts) };
}

function latencyOf({ requests, times }: Counts): Latency | null {
  if (requests === 0) return null;
  const ms = (micros: number) => micros / 1_000;
  return {
    p50: ms(times.percentile(50)),
    p95: ms(times.percentile(95)),
    p99: ms(times.percentile(99)),
    max: ms(times.max),
  };
}
