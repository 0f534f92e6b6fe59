import { isWaiting, type Model, type Scorer, type Trial, type WaitingModel, type WorkingModel } from './model.ts';
import type { Goal } from './recommend.ts';

export type Setting = { readonly workers: number; readonly concurrency: number; readonly threads: number };

export type FleetShape = { readonly workers: number; readonly concurrency: number };

/** Settings to measure: those that the model is fitted to, and one that it has not seen. */
export function settingsToMeasure(scorer: Scorer): {
  readonly seen: readonly FleetShape[];
  readonly unseen: FleetShape;
} {
  if (isWaiting(scorer))
    return { seen: grid([1], [10, 50]).concat(grid([2], [50])), unseen: { workers: 2, concurrency: 100 } };
  return { seen: grid([1], [2, 10, 50]).concat(grid([4], [10, 50])), unseen: { workers: 2, concurrency: 20 } };
}

/**
 * Scoring threads of each worker: the cores, divided among the workers. Scorers that wait need no more, because a
 * waiting thread works on other events.
 */
export function threadsFor(cores: number, workers: number, concurrency: number): number {
  return Math.max(1, Math.min(concurrency, Math.ceil(cores / workers)));
}

/** Settings that may be recommended, smallest first. */
export function candidates(model: Model): readonly FleetShape[] {
  return model.kind === 'waiting'
    ? grid([1, 2, 4, 8], [10, 25, 50, mostWaiting])
    : grid([1, 2, 3, 4, 6, 8], [5, 10, 20, 50]);
}

function grid(workers: readonly number[], concurrency: readonly number[]): FleetShape[] {
  return workers.flatMap((w) => concurrency.map((c) => ({ workers: w, concurrency: c })));
}

/** Share of capacity to plan for when no latency is asked for; the rest is headroom for bursts. */
export const comfortableShare = 0.7;

export function bestSetting(cores: number, model: Model, goal: Goal): Setting {
  const { workers, concurrency } = model.kind === 'waiting' ? enoughInFlight(model, goal) : nearlyBest(model);
  return { workers, concurrency, threads: threadsFor(cores, workers, concurrency) };
}

/** The smallest setting (workers, then deliveries) that is nearly as fast as the best, by the model. */
function nearlyBest(model: WorkingModel): FleetShape {
  const all = candidates(model);
  const best = Math.max(...all.map((c) => model.rate(c.workers, c.concurrency)));
  // A gain smaller than the spread between two runs does not justify another process.
  return all.find((c) => model.rate(c.workers, c.concurrency) >= best * 0.95) ?? { workers: 1, concurrency: 10 };
}

/** The most deliveries of one worker: it is a process with one or two threads, whose results commit together. */
const mostWaiting = 120;
const mostWorkers = 8;

/**
 * As many in flight as the rate needs: rate × seconds, plus headroom for bursts. Without a rate, the most that one
 * machine is asked to hold.
 */
function enoughInFlight({ eachMs, cpuLimit }: WaitingModel, goal: Goal): FleetShape {
  const most = mostWaiting * mostWorkers;
  const rate = Math.min(
    goal.rate === null ? Number.POSITIVE_INFINITY : goal.rate / (goal.machines ?? 1),
    cpuLimit * comfortableShare,
  );
  const inFlight = Math.max(1, Math.min(most, Math.ceil((rate * eachMs) / 1_000 / comfortableShare)));
  const workers = Math.ceil(inFlight / mostWaiting);
  return { workers, concurrency: Math.ceil(inFlight / workers) };
}

/**
 * The chosen setting, unless the runs contradict the model: if another run was over a tenth faster than the setting's
 * own, that one is taken.
 */
export function confirmSetting(setting: Setting, trials: readonly Trial[]): Setting {
  const own = trials.find((t) => t.workers === setting.workers && t.concurrency === setting.concurrency);
  const fastest = trials.toSorted((a, b) => b.rate - a.rate)[0];
  if (own === undefined || fastest === undefined || fastest.rate <= own.rate * 1.1) return setting;
  const { workers, concurrency, threads } = fastest;
  return { workers, concurrency, threads };
}
