import { STATUS_CODES } from 'node:http';
import type { Response } from 'express';

/** One thing wrong with a request body. `pointer` is a JSON pointer (RFC 6901) into it. */
export type FieldError = { readonly pointer: string; readonly detail: string };

/** An answer that is not a success: thrown by handlers, sent as `application/problem+json` (RFC 9457). */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  /** Stable, lower-case words with underscores; clients may branch on it. */
  readonly code: string;
  readonly errors: readonly FieldError[] | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    code: string,
    detail: string,
    options: { errors?: readonly FieldError[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.code = code;
    this.errors = options.errors;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The names of RFC 9110; Node's table has older ones for 413 and 422. */
const titles: Record<number, string> = { ...STATUS_CODES, 413: 'Content Too Large', 422: 'Unprocessable Content' };

/** Where the pages about codes are: our own, or those of `PROBLEM_BASE_URL`. */
export const ownPages = '/docs/problems/';
/** The setting of an app that holds it. */
export const problemBase = 'afterword problem base';

export function sendProblem(response: Response, problem: Problem): void {
  if (problem.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(problem.retryAfterSeconds));
  response
    .status(problem.status)
    .type('application/problem+json')
    .send(`${JSON.stringify(presentProblem(problem, response))}\n`);
}

/** Within the answer to a request. */
export function presentProblem(problem: Problem, response: Response): object {
  return present(problem, String(response.getHeader('X-Request-Id')), response.app.get(problemBase));
}

/** @param base  before the code, in `type`. */
export function problemText(problem: Problem, requestId: string, base = ownPages): string {
  return `${JSON.stringify(present(problem, requestId, base))}\n`;
}

function present(problem: Problem, requestId: string, base: string): object {
  return {
    type: `${base}${problem.code}`,
    title: titles[problem.status] ?? 'Error',
    status: problem.status,
    code: problem.code,
    detail: problem.message,
    ...(problem.errors && { errors: problem.errors }),
    request_id: requestId,
  };
}
