import * as z from 'zod';
import type { Scope } from './caller.ts';

/** A body of a request or an answer. */
export type Content = {
  readonly schema: z.ZodType;
  /** `application/json` unless said otherwise. */
  readonly type?: string;
  /** By name. Tests send those of requests. */
  readonly examples?: Readonly<Record<string, unknown>>;
};

/** An endpoint, as the document of the API describes it. Who may use it is said here, too, and nowhere else. */
export type Operation = {
  /** Also the name of its function in a generated client. */
  readonly id: string;
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** As in OpenAPI: `/v1/sessions/{id}`. */
  readonly path: string;
  /** What a key needs; null: no key is needed. */
  readonly scope: Scope | null;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly isDeprecated?: boolean;
  readonly query?: z.ZodObject;
  readonly requestHeaders?: z.ZodObject;
  readonly body?: Content & { readonly isOptional?: boolean };
  readonly answers: Readonly<
    Record<number, { readonly what: string; readonly content?: Content; readonly headers?: z.ZodObject }>
  >;
  /** Codes of problems that only this endpoint has, by status. */
  readonly problems?: Readonly<Record<number, readonly string[]>>;
};

/** The path as Express has it. */
export function expressPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

/** What answers consist of. Times are UTC. */
export const answerFields = {
  time: z.iso.datetime(),
  orNull: <T extends z.ZodType>(schema: T) => schema.nullable(),
  /** More is added over time. */
  object: z.record(z.string(), z.unknown()),
} as const;
