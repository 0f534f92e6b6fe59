import { candidates, comfortableShare, type FleetShape, type Setting, threadsFor } from './choose-setting.ts';
import { fitLatency, type LatencyPoint, latencyAt, type Model, type Scorer, shareFor, type Trial } from './model.ts';

/** The measurements on this machine, with this scorer and these bodies. */
export type Measured = {
  readonly cores: number;
  readonly scorer: Scorer;
  readonly bodyBytes: number;
  /** Median time of a single 202, milliseconds: its commit, and little else. */
  readonly commitMs: number;
  /** Events per second that one API accepts here without scoring; its clients run on the same machine. */
  readonly acceptRate: number;
  readonly maxConnections: number;
  readonly trials: readonly Trial[];
};

export type Goal = {
  /** Events per second; null: as many as this machine can do. */
  readonly rate: number | null;
  /** Accept to processed, milliseconds; null: no goal. */
  readonly p99Ms: number | null;
  readonly machines: number | null;
};

/** The rate that the model predicts for every candidate. */
export function predictions({ cores }: Pick<Measured, 'cores'>, model: Model): (Setting & { readonly rate: number })[] {
  return candidates(model).map(({ workers, concurrency }) => ({
    workers,
    concurrency,
    threads: threadsFor(cores, workers, concurrency),
    rate: model.rate(workers, concurrency),
  }));
}

/** As the model predicts, but no more than the best run of the same setting. */
function drainRate({ trials }: Pick<Measured, 'trials'>, model: Model, { workers, concurrency }: FleetShape): number {
  const seen = trials.filter((t) => t.workers === workers && t.concurrency === concurrency).map((t) => t.rate);
  return Math.min(model.rate(workers, concurrency), seen.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...seen));
}

/** Accepting and draining share the cores, so their CPU times add up; time spent waiting costs no CPU. */
export function sustained(measured: Measured, model: Model, shape: FleetShape): number {
  const drain = drainRate(measured, model, shape);
  const cpuBound = model.kind === 'waiting' ? model.cpuLimit : drain;
  return Math.min(drain, 1 / (1 / measured.acceptRate + 1 / cpuBound));
}

export type Advice = {
  readonly setting: Setting;
  /** Events per second: what one machine drains, and (`sustained`) what it accepts and drains at the same time. */
  readonly drain: number;
  readonly sustained: number;
  /** Share of `sustained` that the goal uses. */
  readonly share: number;
  readonly rate: number;
  readonly machines: number;
  readonly expected: {
    readonly p50Ms: number;
    readonly p99Ms: number;
    /** Accepted but not processed, on all machines. */
    readonly queue: number;
    /** Of one machine. */
    readonly workersMiB: number | null;
  };
  readonly databasePoolSize: number;
  /** Needed by 1 api and the workers of all machines, and the server's `max_connections`. */
  readonly connections: { readonly needed: number; readonly admitted: number };
  /** Why the goal cannot be reached as asked; null if it can. */
  readonly shortfall: string | null;
};

/** A worker settles on two connections at once, and needs more for the relay, marks, starts and held results. */
export const workerPoolSize = 5;

export function advise(
  measured: Measured,
  model: Model,
  latency: readonly [LatencyPoint, LatencyPoint],
  goal: Goal,
  setting: Setting,
): Advice {
  const [low, high] = latency;
  const lawOf = (percentile: 'p50Ms' | 'p99Ms') =>
    fitLatency({ share: low.share, ms: low[percentile] }, { share: high.share, ms: high[percentile] });
  const [typical, law] = [lawOf('p50Ms'), lawOf('p99Ms')];
  const drain = drainRate(measured, model, setting);
  const each = sustained(measured, model, setting);
  const comfortable = goal.p99Ms === null ? comfortableShare : shareFor(law, goal.p99Ms);
  const most = each * comfortable;
  const wanted = goal.rate ?? most * (goal.machines ?? 1);
  const needed = most > 0 ? Math.max(1, Math.ceil(wanted / most - 1e-9)) : Number.POSITIVE_INFINITY;
  const machines = goal.machines ?? (Number.isFinite(needed) ? needed : 1);
  const share = Math.min(0.99, wanted / machines / each);
  const p99Ms = latencyAt(law, share);
  const p50Ms = Math.min(p99Ms, latencyAt(typical, share));
  const memory = measured.trials.filter((t) => t.workerMiB !== null).map((t) => t.workerMiB ?? 0);
  return {
    setting,
    drain,
    sustained: each,
    share,
    rate: wanted,
    machines,
    expected: {
      p50Ms,
      p99Ms,
      // Little's law: accepted but not processed.
      queue: (wanted / 1_000) * p50Ms,
      workersMiB: memory.length > 0 ? Math.max(...memory) * setting.workers : null,
    },
    databasePoolSize: workerPoolSize,
    connections: { needed: (setting.workers * machines + 1) * workerPoolSize, admitted: measured.maxConnections },
    shortfall: shortfallOf(),
  };

  function shortfallOf(): string | null {
    if (comfortable === 0)
      return (
        `p99 is ${Math.round(latencyAt(law, 0))} ms with next to no load: ` +
        `${goal.p99Ms} ms cannot be reached with this scorer here`
      );
    if (machines < needed) return `${Math.round(wanted)}/s needs ${needed} machines like this one`;
    return null;
  }
}

/** The rules of thumb, and the rate that the model predicts for each. */
export function classicRules(
  measured: Measured,
  model: Model,
): { readonly rule: string; readonly workers: number; readonly concurrency: number; readonly rate: number }[] {
  const n = measured.cores;
  return [
    { rule: 'W = cores', workers: n, concurrency: 10 },
    { rule: 'W = 2 x cores', workers: 2 * n, concurrency: 10 },
    { rule: 'W = 2 x cores + 1', workers: 2 * n + 1, concurrency: 10 },
    { rule: 'W = cores, C = 5', workers: n, concurrency: 5 },
  ].map((r) => ({ ...r, rate: model.rate(r.workers, r.concurrency) }));
}
