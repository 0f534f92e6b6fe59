export { nextTime, previousTime } from './due.ts';
export { createJobs } from './jobs.ts';
export type { JobName, Runs } from './ports.ts';
export { jobNames } from './ports.ts';
export { runJob } from './run-job.ts';
export { type Schedule, startSchedule } from './schedule.ts';
