import { hostname } from 'node:os';
import type { Config } from '../config.ts';
import { createJobs, type Runs, type Schedule, startSchedule } from '../maintenance/index.ts';
import type { Job } from '../maintenance/ports.ts';
import type { Logger } from '../runtime/log.ts';
import {
  addMonths,
  dropMonths,
  leaderLock,
  maintenanceRuns,
  removeErasedIds,
  removeEvents,
  removeFeedLines,
  removeRescored,
  removeRuns,
  removeSessions,
  removeTexts,
  type Store,
} from '../store/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';

/** How often an API looks whether something is due. */
const lookMs = 30_000;

/** @param name  who runs jobs here. */
export function openMaintenance(config: Config, store: Store, name: string): { jobs: Job[]; runs: Runs } {
  const jobs = createJobs(config, {
    addMonths: (now) => addMonths(store, now),
    dropMonths: (before) => dropMonths(store, before),
    texts: (page) => removeTexts(store, page, deadlineMs),
    sessions: (before) => removeSessions(store, before, deadlineMs),
    events: (page) => removeEvents(store, page, deadlineMs),
    feedLines: (before) => removeFeedLines(store, before, deadlineMs),
    erasedIds: (before) => removeErasedIds(store, before, deadlineMs),
    rescored: (before) => removeRescored(store, before, deadlineMs),
    runs: (before) => removeRuns(store, before, deadlineMs),
  });
  return { jobs, runs: maintenanceRuns(store, `${name}@${hostname()}:${process.pid}`, deadlineMs) };
}

/** In an API: what is due by the clock. */
export function startMaintenance(config: Config, store: Store, log: Logger): Schedule {
  return startSchedule({
    ...openMaintenance(config, store, process.env['AFTERWORD_ROLE'] ?? 'api'),
    asLeader: leaderLock(store),
    timeZone: config.scoringTimezone,
    lookMs,
    log,
  });
}
