import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import type { Job, RunState, Runs } from './ports.ts';

/** How often a run says how far it is. */
const progressMs = 5_000;

type Ended = {
  readonly state: Exclude<RunState, 'new' | 'running'>;
  readonly removed: number;
  readonly detail: string | null;
};

/** With what the server says: that a right is missing, or a disk is full. */
function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

/**
 * Runs a job and records it. To be called by the leader. A run that is interrupted counts as lost, so that the next
 * leader makes it up.
 */
export async function runJob(
  job: Job,
  dueAt: Date | null,
  options: { readonly runs: Runs; readonly signal: AbortSignal; readonly log: Logger },
): Promise<Ended> {
  const { runs, signal, log } = options;
  const began = performance.now();
  const runId = await runs.begin(job.name, dueAt);
  let removed = 0;
  let toldAt = began;
  const ended = await job
    .run({
      signal,
      removed(rows) {
        removed += rows;
        if (performance.now() - toldAt < progressMs) return;
        toldAt = performance.now();
        void runs.progress(runId, removed).catch(() => {}); // the end says it once more
      },
    })
    .then(
      (done): Ended => ({ state: 'done', ...done }),
      (error: Error): Ended => ({ state: signal.aborted ? 'lost' : 'failed', removed, detail: reasonOf(error) }),
    );
  const took_ms = Math.round(performance.now() - began);
  const facts = { job: job.name, removed: ended.removed, detail: ended.detail, took_ms };
  if (ended.state === 'failed') log.warn(facts, 'a maintenance job failed');
  else log.info(facts, ended.state === 'done' ? 'maintenance done' : 'maintenance interrupted; it is made up');
  telemetry.maintained.tell({ job: job.name, state: ended.state, removed: ended.removed });
  await runs.end(runId, ended);
  return ended;
}
