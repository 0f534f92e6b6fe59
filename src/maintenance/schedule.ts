import type { Logger } from '../runtime/log.ts';
import { pause, settlesWithin } from '../runtime/wait.ts';
import { decideDue, nextTime, previousTime } from './due.ts';
import type { AsLeader, Job, Runs } from './ports.ts';
import { runJob } from './run-job.ts';

export type Schedule = { close(): Promise<void> };

/** How long a page of a removal may take to end. */
const closeMs = 5_000;
const shortestMs = 250;
/** So that processes do not look at the same moment. */
const spreadMs = 250;

/**
 * Runs jobs when they are due, one after the other, while this process is the leader. Every API does so: whoever sees
 * it first leads. While the database is away nothing is due.
 */
export function startSchedule(options: {
  readonly jobs: readonly Job[];
  readonly runs: Runs;
  readonly asLeader: AsLeader;
  readonly timeZone: string;
  /** How often to look for what others have left. */
  readonly lookMs: number;
  readonly log: Logger;
  readonly now?: () => Date;
}): Schedule {
  const { runs, log } = options;
  const now = options.now ?? (() => new Date());
  const stop = new AbortController();
  const scheduled = options.jobs.flatMap((job) => (job.schedule === null ? [] : [{ ...job, schedule: job.schedule }]));

  async function look(job: (typeof scheduled)[number]) {
    const previous = previousTime(job.schedule, options.timeZone, now());
    const history = await runs.history(job.name);
    const isRunning = history[0]?.state === 'running';
    return { job, isRunning, due: previous === null ? noTime : decideDue(previous, history, now()) };
  }

  function untilNext(): number {
    const times = scheduled.map(({ schedule }) => nextTime(schedule, options.timeZone, now())?.getTime());
    const next = Math.min(...times.filter((time) => time !== undefined));
    return Math.min(options.lookMs, Math.max(shortestMs, next - now().getTime()));
  }

  async function lead(signal: AbortSignal): Promise<void> {
    await runs.markLost();
    for (const job of scheduled) {
      const { due } = await look(job); // what another one has done meanwhile is not due any more
      if (due.kind === 'first-seen') await runs.firstSeen(job.name, due.dueAt);
      if (due.kind === 'due') await runJob(job, due.dueAt, { runs, signal, log });
      if (signal.aborted) return;
    }
  }

  async function loop(): Promise<void> {
    while (!stop.signal.aborted) {
      await pause(untilNext() + spreadMs * Math.random(), stop.signal);
      if (stop.signal.aborted) return;
      try {
        const found = await Promise.all(scheduled.map(look));
        if (!found.some(({ due, isRunning }) => isRunning || due.kind !== 'wait')) continue;
        await options.asLeader(lead, { stop: stop.signal, waitSeconds: 0 });
      } catch (error) {
        log.debug({ err: error }, 'cannot look after maintenance now');
      }
    }
  }

  const looping = loop();
  return {
    async close() {
      stop.abort(new Error('this process is ending'));
      await settlesWithin(looping, closeMs);
    },
  };
}

const noTime = { kind: 'wait' } as const;
