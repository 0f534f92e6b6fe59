import type { Config } from '../config.ts';
import { previousTime } from '../maintenance/index.ts';
import { missingRight, probeRemoval, type Store } from '../store/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';
import { openMaintenance } from './maintenance.ts';

/** For the doctor: what runs by the clock, and whether the database lets it. */
export async function maintenanceFacts(config: Config, store: Store, now: Date) {
  const { jobs, runs } = openMaintenance(config, store, 'tool');
  const scheduled = jobs.flatMap(({ name, schedule }) => (schedule === null ? [] : [{ name, schedule }]));
  const facts = await Promise.all(
    scheduled.map(async ({ name, schedule }) => {
      const [last] = await runs.history(name);
      return {
        name,
        previousAt: previousTime(schedule, config.scoringTimezone, now),
        last: last?.dueAt == null ? null : { dueAt: last.dueAt, state: last.state, detail: last.detail },
      };
    }),
  );
  const removes = config.textRetentionDays > 0 || config.eventRetentionDays > 0;
  const removalRefused = removes
    ? await probeRemoval(store, deadlineMs).then(
        () => null,
        (error: Error) => missingRight(error) ?? error.message,
      )
    : null;
  return { jobs: facts, removalRefused };
}
