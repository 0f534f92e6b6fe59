import { Cron } from 'croner';
import type { History } from './ports.ts';

/** A run that failed is made again after this long, so often. */
const againAfterMs = 10 * 60_000;
const mostFailures = 3;

type Due = { readonly kind: 'due' | 'first-seen'; readonly dueAt: Date } | { readonly kind: 'wait' };

/**
 * Whether a job is to be run. However many times were missed, it is run once. One that was never seen waits for its
 * next time: switching retention on at noon removes nothing before the night.
 *
 * @param previous  the last time that its schedule wanted it. @param history  without runs by hand.
 */
export function decideDue(previous: Date, history: History, now: Date): Due {
  const [last] = history;
  if (last?.dueAt == null) return { kind: 'first-seen', dueAt: previous };
  if (last.dueAt < previous) return { kind: 'due', dueAt: previous };
  if (last.state === 'lost') return { kind: 'due', dueAt: last.dueAt };
  const failures = history.findIndex((run) => run.state !== 'failed' || run.dueAt?.getTime() !== last.dueAt?.getTime());
  const failed = failures === -1 ? history.length : failures;
  const isPast = last.endedAt !== null && now.getTime() - last.endedAt.getTime() >= againAfterMs;
  return failed > 0 && failed < mostFailures && isPast ? { kind: 'due', dueAt: last.dueAt } : { kind: 'wait' };
}

/** The last time before `now` at which a schedule wanted a run; null: there is none. */
export function previousTime(schedule: string, timeZone: string, now: Date): Date | null {
  return new Cron(schedule, { timezone: timeZone, paused: true }).previousRuns(1, now)[0] ?? null;
}

/** The next one; null: there is none. */
export function nextTime(schedule: string, timeZone: string, now: Date): Date | null {
  return new Cron(schedule, { timezone: timeZone, paused: true }).nextRun(now);
}
