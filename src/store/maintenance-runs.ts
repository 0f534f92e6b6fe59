import type { Run, RunState, Runs } from '../maintenance/ports.ts';
import { type Connection, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** As many as it takes to see that a job has failed too often. */
const historyLength = 4;

/** @param runner  who runs jobs here: `name@host:pid`. */
export function maintenanceRuns(store: Store, runner: string, deadlineMs: number): Runs {
  const on = <T>(work: (connection: Connection) => Promise<T>) => withConnection(store, deadlineMs, work);
  const insert = (job: string, dueAt: Date | null, state: RunState) =>
    on((connection) =>
      connection.query<{ insertId: number }>(
        `INSERT INTO maintenance_runs (job, due_at, state, runner, started_at, ended_at)
         VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), ${state === 'running' ? 'NULL' : 'UTC_TIMESTAMP(3)'})`,
        [job, dueAt, state, runner.slice(0, 255)],
      ),
    );
  return {
    async history(job) {
      const rows = await on((connection) =>
        connection.query<RunRow[]>(
          `SELECT due_at, state, ended_at, detail FROM maintenance_runs FORCE INDEX (ix_maintenance_runs_job)
           WHERE job = ? AND due_at IS NOT NULL ORDER BY run_id DESC LIMIT ${historyLength}`,
          [job],
        ),
      );
      return rows.map((row) => ({ dueAt: row.due_at, state: row.state, endedAt: row.ended_at, detail: row.detail }));
    },
    async firstSeen(job, dueAt) {
      await insert(job, dueAt, 'new');
    },
    begin: async (job, dueAt) => Number((await insert(job, dueAt, 'running')).insertId),
    async progress(runId, removed) {
      await on((connection) =>
        connection.query('UPDATE maintenance_runs SET removed = ? WHERE run_id = ?', [removed, runId]),
      );
    },
    async end(runId, { state, removed, detail }) {
      await on((connection) =>
        connection.query(
          `UPDATE maintenance_runs SET state = ?, removed = ?, detail = ?, ended_at = UTC_TIMESTAMP(3)
           WHERE run_id = ?`,
          [state, removed, detail?.slice(0, 1_000) ?? null, runId],
        ),
      );
    },
    async markLost() {
      await on((connection) =>
        connection.query(
          "UPDATE maintenance_runs SET state = 'lost', ended_at = UTC_TIMESTAMP(3) WHERE state = 'running'",
        ),
      );
    },
  };
}

type RunRow = {
  run_id: number;
  job: string;
  due_at: Date | null;
  state: RunState;
  runner: string;
  started_at: Date;
  ended_at: Date | null;
  removed: number;
  detail: string | null;
};

/** Newest first. @param job  null: of all jobs. */
export async function listRuns(store: Store, job: string | null, limit: number, deadlineMs: number): Promise<Run[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<RunRow[]>(
      `SELECT run_id, job, due_at, state, runner, started_at, ended_at, removed, detail FROM maintenance_runs
       ${job === null ? '' : 'WHERE job = ?'} ORDER BY run_id DESC LIMIT ?`,
      job === null ? [limit] : [job, limit],
    ),
  );
  return rows.map((row) => ({
    runId: Number(row.run_id),
    job: row.job,
    dueAt: row.due_at,
    state: row.state,
    runner: row.runner,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    removed: Number(row.removed),
    detail: row.detail,
  }));
}
