import type { Logger } from '../log.ts';
import { telemetry } from '../telemetry.ts';
import type { Problem } from './problem.ts';

/** Counts a problem, and logs one of ours. */
export function noteProblem(problem: Problem, error: unknown, log: Logger, about: object = {}): void {
  telemetry.refused.tell({ status: problem.status, code: problem.code });
  if (problem.status >= 500)
    log.warn({ err: error, status: problem.status, code: problem.code, ...about }, 'request failed');
}
