import type { Config } from '../config.ts';
import { type JobName, nextTime, runJob } from '../maintenance/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { StartError } from '../runtime/start-error.ts';
import { statementDeadlineMs as deadlineMs } from '../start/limits.ts';
import { openMaintenance } from '../start/maintenance.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore, quiet } from '../start/tool.ts';
import { leaderLock, listRuns, noteAction } from '../store/index.ts';
import { printJson, printLine, printTable } from '../terminal/print.ts';

/** Another leader may be in the middle of something. */
const waitSeconds = 5;

export async function runJobs(
  config: Config,
  options: { readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const { jobs } = openMaintenance(config, store, 'tool');
  const now = new Date();
  const due = jobs.map(({ name, schedule }) => ({
    job: name,
    schedule,
    next_at: schedule === null ? null : nextTime(schedule, config.scoringTimezone, now),
  }));
  const runs = await listRuns(store, null, options.limit, deadlineMs);
  if (options.json) {
    printJson({ jobs: due, runs: runs.map(presentRun) });
    return exitCodes.ok;
  }
  printTable(
    [{ head: 'JOB' }, { head: 'SCHEDULE' }, { head: 'NEXT' }],
    due.map(({ job, schedule, next_at }) => [job, schedule ?? 'by hand', next_at]),
  );
  printLine('');
  if (runs.length === 0) printLine('no runs yet');
  else
    printTable(
      [
        { head: 'RUN', rank: 4 },
        { head: 'JOB' },
        { head: 'STATE' },
        { head: 'STARTED', rank: 1 },
        { head: 'ENDED', rank: 2 },
        { head: 'REMOVED' },
        { head: 'BY', min: 10, rank: 5 },
        { head: 'DETAIL', min: 10, rank: 3 },
      ],
      runs.map((r) => [r.runId, r.job, r.state, r.startedAt, r.endedAt, r.removed, r.runner, r.detail]),
    );
  return exitCodes.ok;
}

/** @throws {StartError} another process is running jobs. */
export async function runJobNow(config: Config, name: JobName, options: { readonly json: boolean }): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const { jobs, runs } = openMaintenance(config, store, 'tool');
  const job = jobs.find((one) => one.name === name);
  if (job === undefined) throw new Error(`no job ${name}`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  const led = await leaderLock(store)(
    async (signal) => {
      await runs.markLost();
      await noteAction(store, { actor: operatorName(), kind: 'job', target: name, value: null }, deadlineMs);
      return runJob(job, null, { runs, signal, log: quiet });
    },
    { stop: interrupted.signal, waitSeconds },
  );
  if (led === null)
    throw new StartError('another process is running maintenance now (`afterword jobs` shows what): try again later', {
      mayPass: true,
    });
  const { state, removed, detail } = led.value;
  if (options.json) printJson({ job: name, state, removed, detail });
  else printLine(`${name} ${state}: ${removed} removed${detail === null ? '' : ` (${detail})`}`);
  return state === 'done' ? exitCodes.ok : exitCodes.failed;
}

function presentRun(run: Awaited<ReturnType<typeof listRuns>>[number]) {
  return {
    run: run.runId,
    job: run.job,
    state: run.state,
    due_at: run.dueAt,
    started_at: run.startedAt,
    ended_at: run.endedAt,
    removed: run.removed,
    runner: run.runner,
    detail: run.detail,
  };
}
