/** What is known of the fleet of this machine. Null: could not be found out. */
export type ScaleFacts = {
  /** Milliseconds, of a clock that does not jump. */
  readonly at: number;
  readonly workers: number;
  /** Messages that wait in the queues; null: the broker does not answer. */
  readonly backlog: number | null;
  /** Age of the oldest open event; null: the database does not answer. */
  readonly oldestMs: number | null;
  /** Events settled per second since the last look. */
  readonly rate: number;
  /** Deliveries that the workers may hold, and the share of them that they do. */
  readonly slots: number;
  readonly slotsInUse: number;
  /** Cores of this machine, and the share of them that is in use, by whatever. */
  readonly cores: number;
  readonly cpu: number;
  /** Cores that one worker uses. */
  readonly cpuOfWorker: number;
  /** As many workers as there are database connections for; null: not known. */
  readonly mostByConnections: number | null;
};

export type ScaleLimits = {
  readonly min: number;
  readonly max: number;
  /** Shares. */
  readonly upAbove: number;
  readonly downBelow: number;
  /** A backlog that takes longer than this to drain is too long. */
  readonly drainMs: number;
  /** After a change, none for so long: what it does has to show first. */
  readonly coolDownMs: number;
};

/** What the next decision has to know of the last ones. */
export type ScaleMemory = { readonly changedAt: number; readonly quietLooks: number };
export const noMemory: ScaleMemory = { changedAt: Number.NEGATIVE_INFINITY, quietLooks: 0 };

export type ScaleDecision = { readonly workers: number; readonly why: string; readonly memory: ScaleMemory };

/** More than this is what a machine has to spare for moments. */
const fullAt = 0.9;
/** So many looks in a row have to be quiet before workers go: one quiet moment is no evening. */
const quietLooksToShrink = 3;
/** What is left after workers have gone is in use up to this share. */
const useAfterShrinking = 0.5;

/**
 * How many workers there should be. More, if what waits takes too long to drain, or the machine is busy while messages
 * wait, as long as there are cores and connections for them; fewer, once little has been in use for a while. On one
 * machine more workers than cores help only with scorers that wait, so that CPU that is used up is a reason against
 * more and never one for them.
 */
export function decideScale(facts: ScaleFacts, limits: ScaleLimits, memory: ScaleMemory): ScaleDecision {
  const { workers, backlog, oldestMs, rate, slots, at } = facts;
  const hold = (why: string, quietLooks = 0): ScaleDecision => ({
    workers,
    why,
    memory: { changedAt: memory.changedAt, quietLooks },
  });
  const change = (to: number, why: string): ScaleDecision => ({
    workers: to,
    why,
    memory: { changedAt: at, quietLooks: 0 },
  });

  if (workers < limits.min) return change(limits.min, 'fewer than WORKER_REPLICAS_MIN');
  if (workers > limits.max) return change(limits.max, 'more than WORKER_REPLICAS_MAX');
  if (backlog === null) return hold('the broker does not say how much waits');
  if (oldestMs === null) return hold('the database does not answer');

  const isCooling = at - memory.changedAt < limits.coolDownMs;
  // What the workers hold is under way; a queue begins behind it.
  const isQueue = backlog > slots;
  const drainMs = backlog === 0 ? 0 : rate > 0 ? (backlog / rate) * 1_000 : Number.POSITIVE_INFINITY;
  const isLate = isQueue && (drainMs > limits.drainMs || oldestMs > limits.drainMs);
  const isBusy = isQueue && drainMs > limits.drainMs / 2 && facts.cpu > limits.upAbove;
  if (isLate || isBusy) {
    const why = isLate
      ? lateness(backlog, drainMs, oldestMs)
      : `${backlog} wait, and the CPU is at ${percent(facts.cpu)}`;
    if (workers >= limits.max) return hold(`${why}; WORKER_REPLICAS_MAX is ${limits.max}`);
    const most = facts.mostByConnections;
    if (most !== null && workers >= most) return hold(`${why}; the database has no connections for more workers`);
    const cores = (fullAt - facts.cpu) * facts.cores;
    // A worker that has just begun may not have shown yet what it uses: half of one is worth a try.
    const room = Math.round(cores / Math.max(0.05, facts.cpuOfWorker));
    if (room < 1) return hold(`${why}; no CPU is left for more workers (${percent(facts.cpu)} in use)`);
    if (isCooling) return hold(`${why}; the last change has to show first`);
    const wanted = isLate ? Math.ceil(workers * Math.min(2, Math.max(1, drainMs / limits.drainMs))) : workers + 1;
    const to = Math.min(Math.max(wanted, workers + 1), workers + room, limits.max, most ?? limits.max);
    return change(to, why);
  }

  const cpuOfAll = (workers * facts.cpuOfWorker) / facts.cores;
  const use = Math.max(facts.slotsInUse, cpuOfAll);
  if (isQueue || use >= limits.downBelow) return hold('what there is to do is being done');
  const quietLooks = memory.quietLooks + 1;
  if (workers === limits.min) return hold('WORKER_REPLICAS_MIN is enough', quietLooks);
  if (quietLooks < quietLooksToShrink || isCooling) return hold('it may be a pause', quietLooks);
  const enough = Math.ceil((workers * use) / useAfterShrinking);
  const to = Math.max(limits.min, enough, Math.floor(workers / 2));
  return to < workers
    ? change(to, `${percent(use)} of the workers are in use`)
    : hold('what there is to do is being done', quietLooks);
}

function lateness(backlog: number, drainMs: number, oldestMs: number): string {
  const time = Number.isFinite(drainMs) ? `take ${seconds(drainMs)} to drain` : 'are not being drained';
  return `${backlog} wait and ${time}, the oldest for ${seconds(oldestMs)}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
