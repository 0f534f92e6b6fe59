import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import express, { type Express, type NextFunction, type Request, type Response, type Router } from 'express';
import { PipelineError } from '../../event/fault.ts';
import { type Logger, withCorrelation } from '../log.ts';
import { type Headers, spans } from '../spans.ts';
import { telemetry } from '../telemetry.ts';
import { allowedMethods } from './allowed-methods.ts';
import { Problem, sendProblem } from './problem.ts';
import { answerRefusals } from './refusals.ts';
import { httpUrl } from './url.ts';

const requestId = /^[\x21-\x7e]{1,128}$/;

/** Creates an Express app with the given routers, request ids, and problem documents for all errors. */
export function createApp(routers: readonly Router[], log: Logger): Express {
  const app = express();
  app.disable('x-powered-by');
  // GET handlers that want an ETag compute it; here it would hash every answer to the hot POST.
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use((request, response, next) => {
    const given = request.headers['x-request-id'];
    const id = typeof given === 'string' && requestId.test(given) ? given : randomUUID();
    response.setHeader('X-Request-Id', id);
    if (request.headers.host === undefined && request.httpVersion === '1.1')
      throw new Problem(400, 'host_missing', 'there is no Host header');
    // Rejects invalid percent-encoding, which Express ignores: it would look up a user with another name.
    if (request.url.includes('%')) decodeURIComponent(request.url);
    withCorrelation({ request_id: id }, () => aroundRequest(request, response, next));
  });
  for (const router of routers) app.use(router);
  app.use((request, response) => {
    const allowed = allowedMethods(routers, request.path);
    if (allowed.length > 0) {
      response.setHeader('Allow', allowed.join(', '));
      throw new Problem(
        405,
        'method_not_allowed',
        `${request.path} takes ${allowed.join(', ')}, not ${request.method}`,
      );
    }
    throw new Problem(404, 'no_such_endpoint', `there is no ${request.method} ${request.path}`);
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const problem = toProblem(error, request);
    telemetry.refused.tell({ status: problem.status, code: problem.code });
    if (problem.status >= 500)
      log.warn({ err: error, status: problem.status, code: problem.code, method: request.method }, 'request failed');
    // The client is gone, or half of an answer is out: nothing can be said any more.
    if (response.headersSent || response.destroyed) return response.destroy();
    // Otherwise the unread rest of a refused body would be parsed as the next request.
    if (!request.complete) response.setHeader('Connection', 'close');
    sendProblem(response, problem);
  });
  return app;
}

/** Asked for every few seconds by machines: they would bury the traces of everything else. */
const untraced = new Set(['/metrics', '/healthz', '/readyz']);

function aroundRequest(request: Request, response: Response, next: NextFunction): void {
  if (!spans.request.isHeard || untraced.has(request.path)) {
    next();
    return;
  }
  const { method, headers } = request;
  const about: { method: string; headers: Headers; status?: number; route?: string | null } = { method, headers };
  void spans.request.around(about, async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    response.once('close', resolve);
    next();
    await promise;
    // Not set if the caller left before the answer: there was none.
    if (response.writableFinished) about.status = response.statusCode;
    about.route = (request.route as { path: string } | undefined)?.path ?? null;
  });
}

/** Listens. Every request must arrive within a time limit, so that slow clients cannot pile up. */
export async function listen(
  app: Express,
  { host, port, maxBodyBytes }: { readonly host: string; readonly port: number; readonly maxBodyBytes: number },
): Promise<{ server: Server; url: string }> {
  const server = createServer(
    {
      requireHostHeader: false,
      requestTimeout: 30_000,
      headersTimeout: 10_000,
      connectionsCheckingInterval: 5_000,
      keepAliveTimeout: 65_000,
    },
    app,
  );
  answerRefusals(server, app, maxBodyBytes);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 1_024 }, () => resolve());
  });
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  return { server, url: httpUrl(host, actual) };
}

function toProblem(error: unknown, request: Request): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof PipelineError && error.kind === 'transient') {
    const detail =
      'the service cannot do this now, or cannot tell whether it was done; the same request may be repeated';
    return new Problem(503, error.code.toLowerCase(), detail, { retryAfterSeconds: 2, cause: error });
  }
  const type = (error as { type?: unknown } | null)?.type;
  switch (type) {
    case 'entity.too.large':
      return new Problem(413, 'body_too_large', `the body is larger than ${(error as { limit?: number }).limit} bytes`);
    case 'encoding.unsupported':
      return new Problem(415, 'unsupported_encoding', 'the Content-Encoding must be gzip, deflate, br or identity');
    case 'request.aborted':
    case 'request.size.invalid':
      return new Problem(400, 'incomplete_body', 'the body ended before its declared length');
  }
  if (error instanceof URIError)
    return new Problem(400, 'bad_path', 'the path or the query is not valid percent-encoded UTF-8');
  const status = (error as { status?: unknown } | null)?.status;
  // The error codes differ between the decompressors.
  if (status === 400 && request.headers['content-encoding'] !== undefined) {
    return new Problem(400, 'bad_encoding', 'the body is not what its Content-Encoding says');
  }
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new Problem(status, 'bad_request', 'the request cannot be read');
  return new Problem(500, 'internal_error', 'something unexpected went wrong; the log has it under this request id');
}
