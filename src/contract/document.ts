import { STATUS_CODES } from 'node:http';
import * as z from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import type { Content, Operation } from '../runtime/http/index.ts';

export type Document = ReturnType<typeof createDocument>;

const problem = z
  .object({
    type: z.string().meta({ description: 'Where the code is explained.' }),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'Stable: clients may branch on it.' }),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          pointer: z.string().meta({ description: 'A JSON pointer into the body, or `?name` of a parameter.' }),
          detail: z.string(),
        }),
      )
      .optional(),
    request_id: z.string(),
  })
  .meta({ id: 'Problem' });

const limits = z.object({
  'RateLimit-Policy': z.string().optional(),
  RateLimit: z.string().optional(),
});
const retryAfter = z.object({ 'Retry-After': z.string() });

/** Codes that any endpoint of a kind may answer with, by status. */
const ofAll: Codes = { 400: ['bad_request', 'bad_path', 'host_missing'], 500: ['internal_error'] };
const ofKeys: Codes = {
  401: ['key_missing', 'key_invalid', 'key_revoked', 'key_expired'],
  403: ['scope_missing', 'other_user'],
};
const ofLimits: Codes = { 429: ['rate_limited'] };
const ofServers: Codes = {
  503: [
    ...['database_unavailable', 'database_timeout', 'database_locked', 'database_deadlock', 'database_error'],
    ...['row_vanished', 'deadline', 'overloaded'],
  ],
};
const ofBodies: Codes = {
  400: ['empty_body', 'invalid_json', 'invalid_utf8', 'incomplete_body', 'bad_encoding'],
  408: ['too_slow'],
  413: ['body_too_large'],
  415: ['unsupported_media_type', 'unsupported_charset', 'unsupported_encoding'],
};
type Codes = Readonly<Record<number, readonly string[]>>;

/** The API as OpenAPI 3.1, made from the schemas by which requests are checked. */
export function createContract(operations: readonly Operation[], version: string): Document {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    (paths[operation.path] as Record<string, ZodOpenApiOperationObject>)[operation.method] = describe(operation);
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Afterword',
      version,
      description:
        'A background scoring fleet: accepts finished conversations within milliseconds and scores them afterwards. ' +
        'Errors are problem documents (RFC 9457). Fields may be added to answers: ignore those you do not know.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    paths: paths as ZodOpenApiPathsObject,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'An API key (`afterword keys create`).' },
      },
    },
  });
}

function describe(operation: Operation): ZodOpenApiOperationObject {
  const { scope, body, query, requestHeaders } = operation;
  const names = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    description: [operation.description, scope === null ? 'Needs no key.' : `Needs the scope \`${scope}\`.`]
      .filter(Boolean)
      .join(' '),
    ...(operation.isDeprecated && { deprecated: true }),
    security: scope === null ? [] : [{ key: [] }],
    requestParams: {
      ...(names.length > 0 && { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
      ...(query && { query }),
      ...(requestHeaders && { header: requestHeaders }),
    },
    ...(body && { requestBody: { required: !body.isOptional, content: contentOf(body) } }),
    responses: { ...answersOf(operation), ...problemsOf(operation) },
  };
}

function contentOf({ schema, type = 'application/json', examples }: Content) {
  const named = Object.entries(examples ?? {}).map(([name, value]) => [name, { value }] as const);
  return { [type]: { schema, ...(named.length > 0 && { examples: Object.fromEntries(named) }) } };
}

function answersOf({ answers, scope }: Operation) {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { what, content, headers }]) => [
      status,
      {
        description: what,
        ...((headers || scope !== null) && { headers: withLimits(headers, scope !== null) }),
        ...(content && { content: contentOf(content) }),
      },
    ]),
  );
}

function withLimits(headers: z.ZodObject | undefined, isLimited: boolean): z.ZodObject {
  const named = headers ?? z.object({});
  return isLimited ? named.extend(limits.shape) : named;
}

function problemsOf({ scope, body, path, problems = {} }: Operation) {
  const touchesServers = path.startsWith('/v1/') || path === '/sync_now';
  const sources = [
    ofAll,
    ...(scope === null ? [] : [ofKeys, ofLimits]),
    ...(touchesServers ? [ofServers] : []),
    ...(body ? [ofBodies] : []),
    problems,
  ];
  const byStatus = new Map<string, string[]>();
  for (const source of sources)
    for (const [status, codes] of Object.entries(source))
      byStatus.set(status, [...(byStatus.get(status) ?? []), ...codes]);
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: `${STATUS_CODES[status] ?? 'Problem'}: ${codes.map((code) => `\`${code}\``).join(', ')}`,
        ...((status === '429' || status === '503') && { headers: retryAfter }),
        content: { 'application/problem+json': { schema: problem } },
      },
    ]),
  );
}
