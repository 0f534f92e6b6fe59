import { firstEventIdAt } from '../event/event.ts';
import { gently } from './gently.ts';
import type { Job, JobName, Removals } from './ports.ts';

export type JobSettings = {
  /** Days; 0: for ever. */
  readonly textRetentionDays: number;
  readonly eventRetentionDays: number;
  /** Cron expressions; null: only by hand. */
  readonly maintenanceSchedule: string | null;
  readonly retentionSchedule: string | null;
};

const dayMs = 86_400_000;
/** Ids of erased events are needed while a message of theirs may be in the broker. */
const erasedDays = 30;
const runDays = 90;
const rescoredDays = 90;

/** The jobs, in the order in which they are run if several are due. */
export function createJobs(settings: JobSettings, removals: Removals, now: () => number = Date.now): Job[] {
  const ago = (days: number) => new Date(now() - days * dayMs);
  const { textRetentionDays, eventRetentionDays, maintenanceSchedule, retentionSchedule } = settings;
  const retention = (days: number) => (days === 0 ? null : retentionSchedule);
  const removeSessions = (days: number, context: Parameters<Job['run']>[0]) =>
    gently(true as const, () => removals.sessions(ago(days)), context);

  const jobs: Record<JobName, Omit<Job, 'name'>> = {
    partitions: {
      schedule: maintenanceSchedule,
      async run() {
        const made = await removals.addMonths(new Date(now()));
        return { removed: 0, detail: made.length === 0 ? null : `made ${made.map(({ name }) => name).join(', ')}` };
      },
    },
    housekeeping: {
      schedule: maintenanceSchedule,
      async run(context) {
        const ids = await gently(true as const, () => removals.erasedIds(ago(erasedDays)), context);
        const runs = await gently(true as const, () => removals.runs(ago(runDays)), context);
        const rescored = await gently(true as const, () => removals.rescored(ago(rescoredDays)), context);
        return { removed: ids + runs + rescored, detail: null };
      },
    },
    'text-retention': {
      schedule: retention(textRetentionDays),
      async run(context) {
        if (textRetentionDays === 0) return nothing('TEXT_RETENTION_DAYS is 0');
        const before = firstEventIdAt(ago(textRetentionDays));
        const sessions = await removeSessions(textRetentionDays, context);
        const months = await removals.dropMonths(before);
        const inMonths = months.reduce((sum, { texts }) => sum + texts, 0);
        context.removed(inMonths);
        const texts = await gently('', (after: string) => removals.texts({ after, before }), context);
        const dropped = months.length === 0 ? '' : `, with ${months.map(({ name }) => name).join(', ')}`;
        return {
          removed: sessions + inMonths + texts,
          detail: `${texts + inMonths} texts${dropped}; ${sessions} sessions`,
        };
      },
    },
    'event-retention': {
      schedule: retention(eventRetentionDays),
      async run(context) {
        if (eventRetentionDays === 0) return nothing('EVENT_RETENTION_DAYS is 0');
        const before = ago(eventRetentionDays);
        // First: a session refers to its event.
        const sessions = await removeSessions(eventRetentionDays, context);
        const events = await gently('', (after: string) => removals.events({ after, before }), context);
        const lines = await gently(true as const, () => removals.feedLines(before), context);
        return {
          removed: sessions + events + lines,
          detail: `${events} events; ${sessions} sessions; ${lines} lines of the stream`,
        };
      },
    },
  };
  return (Object.keys(jobs) as JobName[]).map((name) => ({ name, ...jobs[name] }));
}

function nothing(why: string) {
  return { removed: 0, detail: `nothing to do: ${why}` };
}
