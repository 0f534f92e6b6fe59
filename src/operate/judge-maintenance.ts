import type { Finding } from './finding.ts';

/** A job that runs by the clock. */
export type JobFacts = {
  readonly name: string;
  /** The last time at which it was to run; null: it has none. */
  readonly previousAt: Date | null;
  /** Its newest run by the clock; null: none yet. */
  readonly last: { readonly dueAt: Date; readonly state: string; readonly detail: string | null } | null;
};

/** A run may take hours, and an API that is down for a moment makes it up. */
const lateMs = 6 * 3_600_000;

/**
 * @param removalRefused  why the database refuses to remove rows; null: it does not, or nothing is to be removed.
 */
export function judgeMaintenance(jobs: readonly JobFacts[], removalRefused: string | null, now: Date): Finding[] {
  const check = 'maintenance';
  const findings = jobs.flatMap(({ name, previousAt, last }): Finding[] => {
    if (last?.state === 'failed') {
      const advice = 'see `afterword jobs`, and docs/runbooks.md#afterwordmaintenancefailed';
      return [{ check, status: 'warn', found: `${name} failed: ${last.detail ?? 'no reason'}`, advice }];
    }
    const isMissed = previousAt !== null && last !== null && last.dueAt < previousAt;
    if (!isMissed || now.getTime() - previousAt.getTime() < lateMs) return [];
    const advice = 'APIs run it: is one running? `afterword jobs run` does it now';
    return [{ check, status: 'warn', found: `${name} has not run since ${previousAt.toISOString()}`, advice }];
  });
  if (removalRefused !== null)
    findings.push({
      check,
      status: 'fail',
      found: removalRefused,
      advice: 'nothing can be removed by age: GRANT DELETE, and ALTER and DROP for months of texts',
    });
  return findings.length > 0 ? findings : [{ check, status: 'ok', found: `${jobs.length} jobs run by the clock` }];
}
