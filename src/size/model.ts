/** One measured run: `workers` with `concurrency` deliveries and `threads` scoring threads each, draining a backlog. */
export type Trial = {
  readonly workers: number;
  readonly concurrency: number;
  readonly threads: number;
  /** Events per second. */
  readonly rate: number;
  /** Share of the machine's CPU that was in use, 0 to 1. */
  readonly busy: number;
  /** Memory of one worker after the run, MiB; null where the system does not report it. */
  readonly workerMiB: number | null;
};

/** Measurements of a scorer alone. */
export type Scorer = {
  readonly name: string;
  /** Per event, milliseconds: elapsed time, and CPU time. */
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Rate per thread with one thread per core, relative to the rate of a single thread: 1 is perfect. */
  readonly threadEfficiency: number;
  /** What the scorer declares; null if it declares nothing. */
  readonly waits: boolean | null;
};

/** Fewest accepts from which their rate can be told. */
export const fewestForRate = 1_000;

/** Below this, a scorer that waits is bounded by the round trips to broker and database, like one that works. */
const longWaitMs = 20;

/** Whether an event spends most of its time waiting for something outside, whatever the scorer declares. */
export function waitsMostly({ wallMs, cpuMs }: Scorer): boolean {
  return wallMs >= longWaitMs && cpuMs < wallMs / 2;
}

/** Whether scorings share threads while they wait, so that the number in flight sets the rate. */
export function isWaiting(scorer: Scorer): boolean {
  return waitsMostly(scorer) && scorer.waits !== false;
}

/**
 * Universal scalability law (Gunther 2007): X(n) = λn / (1 + σ(n − 1) + κn(n − 1)). λ: rate of one; σ: contention, the
 * serial share; κ: coherency, the cost of each pair.
 */
type Usl = { readonly lambda: number; readonly sigma: number; readonly kappa: number };

export function uslRate({ lambda, sigma, kappa }: Usl, n: number): number {
  return (lambda * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1));
}

/**
 * Least squares on n / X(n), which is linear in the parameters; neither σ nor κ may be negative.
 * @param points  at least one; with fewer than three, κ is 0; with only one, σ is 0 too.
 */
export function fitUsl(points: readonly { readonly n: number; readonly rate: number }[]): Usl {
  const rows = points.map(({ n, rate }) => ({ basis: [1, n - 1, n * (n - 1)], y: n / rate }));
  // The fullest model whose parameters make sense.
  for (const used of [[0, 1, 2], [0, 1], [0, 2], [0]]) {
    if (used.length > points.length) continue;
    const solved = leastSquares(
      rows.map((r) => used.map((i) => r.basis[i] ?? 0)),
      rows.map((r) => r.y),
    );
    if (solved === null || solved.some((value, i) => !Number.isFinite(value) || (i === 0 ? value <= 0 : value < 0)))
      continue;
    const [inverse = Number.NaN] = solved;
    const of = (parameter: number) => (solved[used.indexOf(parameter)] ?? 0) / inverse;
    return { lambda: 1 / inverse, sigma: of(1), kappa: of(2) };
  }
  throw new RangeError('no model fits these points');
}

/** Solves the normal equations; null if they are singular. */
function leastSquares(a: readonly (readonly number[])[], y: readonly number[]): number[] | null {
  const n = a[0]?.length ?? 0;
  const m = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => a.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0)),
    a.reduce((sum, row, k) => sum + (row[i] ?? 0) * (y[k] ?? 0), 0),
  ]);
  for (let i = 0; i < n; i++) {
    const pivot = m[i]?.[i] ?? 0;
    if (Math.abs(pivot) < 1e-18) return null;
    for (let j = 0; j < n; j++) {
      if (j === i) continue;
      const factor = (m[j]?.[i] ?? 0) / pivot;
      m[j] = (m[j] ?? []).map((value, k) => value - factor * (m[i]?.[k] ?? 0));
    }
  }
  return m.map((row, i) => (row[n] ?? 0) / (row[i] ?? 1));
}

/**
 * A model fitted to the runs. `kind` says what bounds the rate: the work per event, or how many may wait at once.
 */
export type Model = WorkingModel | WaitingModel;

export type WorkingModel = {
  readonly kind: 'working';
  /** Predicted events per second on one machine. */
  rate(workers: number, concurrency: number): number;
  /** How one worker's rate grows with its deliveries. */
  readonly alone: Usl;
  /** How workers slow each other down: σ for each number of deliveries that was measured, ascending. */
  readonly sharing: readonly { readonly concurrency: number; readonly sigma: number }[];
};

export type WaitingModel = {
  readonly kind: 'waiting';
  rate(workers: number, concurrency: number): number;
  /** From one delivery to the next that takes its place, milliseconds. */
  readonly eachMs: number;
  /** Events per second for which the CPU of the machine suffices, with everything else that runs on it. */
  readonly cpuLimit: number;
};

export function fitModel(
  { cores, scorer }: { readonly cores: number; readonly scorer: Scorer },
  trials: readonly Trial[],
): Model {
  return isWaiting(scorer) ? fitWaiting(trials, cores) : fitWorking(trials);
}

/**
 * One law for the deliveries of a single worker, and one for several workers together, whose σ is interpolated over the
 * logarithm of the deliveries. A worker's deliveries commit in groups, so ten workers with one delivery each are not
 * like one worker with ten.
 *
 * @param trials  one worker with several concurrencies, and several workers with at least one of these.
 */
export function fitWorking(trials: readonly Trial[]): WorkingModel {
  const single = trials.filter((t) => t.workers === 1);
  const alone = fitUsl(single.map((t) => ({ n: t.concurrency, rate: t.rate })));
  const several = Map.groupBy(
    trials.filter((t) => t.workers > 1),
    (t) => t.concurrency,
  );
  const sharing = [...several]
    .map(([concurrency, group]) => ({
      concurrency,
      // Relative to the measured rate of one worker, so that an error of the first law does not carry over.
      sigma: mean(
        group.map((t) => {
          const one = single.find((s) => s.concurrency === concurrency)?.rate ?? uslRate(alone, concurrency);
          return Math.max(0, ((one * t.workers) / t.rate - 1) / (t.workers - 1));
        }),
      ),
    }))
    .sort((a, b) => a.concurrency - b.concurrency);
  return {
    kind: 'working',
    alone,
    sharing,
    rate: (workers, concurrency) => (workers * oneWorker(concurrency)) / (1 + sigmaAt(concurrency) * (workers - 1)),
  };

  function sigmaAt(concurrency: number): number {
    const above = sharing.find((s) => s.concurrency >= concurrency) ?? sharing.at(-1);
    const below = sharing.findLast((s) => s.concurrency <= concurrency) ?? sharing[0];
    if (above === undefined || below === undefined) return 0;
    if (above === below) return above.sigma;
    const share = Math.log(concurrency / below.concurrency) / Math.log(above.concurrency / below.concurrency);
    return below.sigma + share * (above.sigma - below.sigma);
  }

  function oneWorker(concurrency: number): number {
    return single.find((s) => s.concurrency === concurrency)?.rate ?? uslRate(alone, concurrency);
  }
}

/**
 * Little's law: the number in flight is rate × time, so the rate is deliveries ÷ time, as long as the CPU suffices.
 *
 * @param trials  at least one. The fastest gives the best CPU time per event, because the machine's other work weighs
 *   least in it.
 */
function fitWaiting(trials: readonly Trial[], cores: number): WaitingModel {
  // The shortest: runs that the CPU slowed down say nothing about the waiting.
  const eachMs = Math.min(...trials.map((t) => (t.workers * t.concurrency * 1_000) / t.rate));
  const fastest = trials.reduce((a, b) => (b.rate > a.rate ? b : a));
  const cpuLimit = fastest.rate / Math.max(fastest.busy, 1 / (cores * 1_000));
  return {
    kind: 'waiting',
    eachMs,
    cpuLimit,
    rate: (workers, concurrency) => Math.min((workers * concurrency * 1_000) / eachMs, cpuLimit),
  };
}

/**
 * A percentile of the time from due to processed, by the share of capacity in use: `baseMs` when idle, plus the growth
 * of a queue, `queueMs` × ρ / (1 − ρ).
 */
type LatencyModel = { readonly baseMs: number; readonly queueMs: number };

/** @param points  two runs at different shares of capacity. */
export function fitLatency(
  low: { readonly share: number; readonly ms: number },
  high: { readonly share: number; readonly ms: number },
): LatencyModel {
  const [a, b] = [load(low.share), load(high.share)];
  const queueMs = Math.max(0, (high.ms - low.ms) / (b - a));
  return { baseMs: Math.max(0, low.ms - queueMs * a), queueMs };
}

export type LatencyPoint = { readonly share: number; readonly p50Ms: number; readonly p99Ms: number };

export function latencyAt({ baseMs, queueMs }: LatencyModel, share: number): number {
  return baseMs + queueMs * load(share);
}

/** The largest share of capacity that keeps p99 within `p99Ms`, at most 0.85: beyond that, jitter builds a queue. */
export function shareFor({ baseMs, queueMs }: LatencyModel, p99Ms: number): number {
  const most = 0.85;
  if (queueMs === 0) return p99Ms >= baseMs ? most : 0;
  const room = (p99Ms - baseMs) / queueMs;
  return room <= 0 ? 0 : Math.min(most, room / (1 + room));
}

function load(share: number): number {
  return share / (1 - share);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
