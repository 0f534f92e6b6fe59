import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from '../log.ts';
import { Problem, problemText } from './problem.ts';

/** An endpoint that needs no framework: an API mounts it, and any process serves it on its METRICS_PORT. */
export type Route = {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** @throws {Problem} */
  handle(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): Promise<void>;
};

export function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? '/', 'http://localhost').searchParams;
}

/** Ends with a newline, so that a shell prompt after it starts on a new line. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.end(`${JSON.stringify(body)}\n`);
}

/**
 * Serves routes on a port of their own.
 * @throws the system's error if the port cannot be had.
 */
export async function serveRoutes(
  at: { readonly host: string; readonly port: number },
  routes: readonly Route[],
  log: Logger,
): Promise<Server> {
  const server = createServer((request, response) => {
    answer(routes, request, response).catch((error: unknown) => {
      const problem =
        error instanceof Problem ? error : new Problem(500, 'internal_error', 'something unexpected went wrong');
      if (problem.status >= 500) log.warn({ err: error, code: problem.code }, 'request failed');
      if (response.headersSent) response.destroy();
      else
        response
          .writeHead(problem.status, { 'content-type': 'application/problem+json; charset=utf-8' })
          .end(problemText(problem, randomUUID()));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => resolve());
  });
  server.unref();
  return server;
}

async function answer(routes: readonly Route[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').split('?')[0];
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const here = routes.filter((route) => route.path === path);
  const route = here.find((one) => one.method === method);
  if (route !== undefined) return route.handle(request, response, queryOf(request));
  if (here.length === 0) throw new Problem(404, 'no_such_endpoint', `there is no ${request.method} ${path}`);
  const allowed = here.map((one) => (one.method === 'GET' ? 'GET, HEAD' : one.method)).join(', ');
  response.setHeader('allow', allowed);
  throw new Problem(405, 'method_not_allowed', `${path} takes ${allowed}, not ${request.method}`);
}
