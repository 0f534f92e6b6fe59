import * as z from 'zod';
import { parseTime } from '../parse-time.ts';
import { Problem } from './problem.ts';

/** JSON can encode half of a surrogate pair, but no database can store one. */
export const notUnicode = 'must be valid Unicode (it has half of a surrogate pair)';

/** What request bodies consist of. */
export const fields = {
  /** Lengths in code points, as the database counts characters. */
  text(min: number, max: number) {
    return z
      .string('must be a string')
      .refine((s) => s.isWellFormed(), notUnicode)
      .refine(
        (s) => inRange(codePoints(s), min, max),
        min === 0 ? `must have at most ${max} characters` : `must have ${min} to ${max} characters`,
      )
      .meta({ ...(min > 0 && { minLength: min }), maxLength: max });
  },

  /** Of a page. */
  limit(byDefault: number) {
    const message = 'must be a number from 1 to 200';
    return z
      .string('must be given once')
      .regex(/^\d{1,3}$/, message)
      .transform(Number)
      .pipe(z.number().min(1, message).max(200, message))
      .default(byDefault)
      .meta({ override: { type: 'integer', minimum: 1, maximum: 200, default: byDefault } });
  },

  time: z
    .string('must be a string')
    .meta({ format: 'date-time' })
    .transform((s, context) => {
      const parsed = parseTime(s);
      if (parsed) return parsed;
      context.addIssue('must be an ISO 8601 date and time with zone, such as 2026-01-31T20:15:00Z');
      return z.NEVER;
    }),
} as const;

/** @throws {Problem} 422 that lists every error in the body. */
export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map((issue) => ({
    pointer: issue.path.map((part) => `/${String(part)}`).join(''),
    detail: issue.path.length > 0 && valueAt(body, issue.path) === undefined ? 'is missing' : issue.message,
  }));
  throw new Problem(422, 'invalid_request', 'the body has errors', { errors });
}

/** @throws {Problem} 422 that names every parameter that is wrong or unknown. */
export function parseQuery<T extends z.ZodType>(schema: T, given: unknown): z.output<T> {
  const query = schema.safeParse(given);
  if (query.success) return query.data;
  const errors = query.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ pointer: `?${key}`, detail: 'is not a parameter of this endpoint' }))
      : [{ pointer: `?${String(issue.path[0])}`, detail: issue.message }],
  );
  throw new Problem(422, 'invalid_query', 'the query has errors', { errors });
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = body;
  for (const part of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return value;
}

function codePoints(text: string): number {
  let n = 0;
  for (const _ of text) n++;
  return n;
}

function inRange(n: number, min: number, max: number): boolean {
  return n >= min && n <= max;
}
