import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import cors from 'cors';
import express, { type Express, type NextFunction, type Request, type Response, type Router } from 'express';
import helmet from 'helmet';
import { type Logger, withCorrelation } from '../log.ts';
import { type Headers, spans } from '../spans.ts';
import { allowedMethods } from './allowed-methods.ts';
import { limitArrival } from './arrival.ts';
import { type CertificateFiles, followCertificate, readCertificate } from './certificate.ts';
import { noteProblem } from './note-problem.ts';
import { ownPages, Problem, problemBase, sendProblem } from './problem.ts';
import { problemOf } from './problem-of.ts';
import { answerRefusals } from './refusals.ts';
import { httpUrl } from './url.ts';

const requestId = /^[\x21-\x7e]{1,128}$/;

export type AppSettings = {
  /** Origins of web pages that may call. */
  readonly corsOrigins: readonly string[];
  /** Proxies in front, as Express has it; null: none. */
  readonly trustProxy: number | readonly string[] | null;
  readonly problemBaseUrl: string | null;
  /** It is served over TLS. */
  readonly hasTls: boolean;
};

/** Answers are data: browsers should neither guess their types, nor show them in frames, nor tell others of them. */
function protect(hasTls: boolean) {
  return helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    strictTransportSecurity: hasTls && { includeSubDomains: false },
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
}

/** What a page of another origin may send and see. */
const sent = [
  'Authorization',
  'Content-Type',
  'If-None-Match',
  'Last-Event-ID',
  'Prefer',
  'Traceparent',
  'X-Request-Id',
];
const seen = [
  ...['ETag', 'Idempotency-Replayed', 'Location', 'Preference-Applied', 'RateLimit', 'RateLimit-Policy'],
  ...['Retry-After', 'WWW-Authenticate', 'X-Request-Id'],
];

/** Creates an Express app with the given routers, request ids, and problem documents for all errors. */
export function createApp(routers: readonly Router[], settings: AppSettings, log: Logger): Express {
  const app = express();
  app.disable('x-powered-by');
  // GET handlers that want an ETag compute it; here it would hash every answer to the hot POST.
  app.disable('etag');
  app.set('query parser', 'simple');
  app.set(problemBase, settings.problemBaseUrl ?? ownPages);
  if (settings.trustProxy !== null) app.set('trust proxy', settings.trustProxy);
  app.use((request, response, next) => {
    const given = request.headers['x-request-id'];
    const id = typeof given === 'string' && requestId.test(given) ? given : randomUUID();
    response.setHeader('X-Request-Id', id);
    if (request.headers.host === undefined && request.httpVersion === '1.1')
      throw new Problem(400, 'host_missing', 'there is no Host header');
    // Rejects invalid percent-encoding, which Express ignores: it would look up a user with another name.
    if (request.url.includes('%')) decodeURIComponent(request.url);
    limitArrival(request, response);
    withCorrelation({ request_id: id }, () => aroundRequest(request, response, next));
  });
  app.use(protect(settings.hasTls));
  const { corsOrigins } = settings;
  if (corsOrigins.length > 0)
    app.use(
      cors({
        origin: [...corsOrigins],
        methods: ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'],
        allowedHeaders: sent,
        exposedHeaders: seen,
        maxAge: 600,
      }),
    );
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
    const problem = problemOf(error, request);
    noteProblem(problem, error, log, { method: request.method });
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
  options: {
    readonly host: string;
    readonly port: number;
    readonly maxBodyBytes: number;
    readonly problemBaseUrl: string | null;
    readonly longBodies: readonly string[];
    /** Null: plain HTTP. */
    readonly certificate: CertificateFiles | null;
  },
  log: Logger,
): Promise<{ server: Server; url: string }> {
  const { host, port, certificate } = options;
  const times = {
    requireHostHeader: false,
    // Bodies have a limit of their own (arrival.ts), because a batch may take as long as it likes.
    requestTimeout: 0,
    headersTimeout: 10_000,
    connectionsCheckingInterval: 5_000,
    keepAliveTimeout: 65_000,
  };
  let server: Server;
  if (certificate === null) server = createServer(times, app);
  else {
    const secure = createSecureServer({ ...times, ...readCertificate(certificate) }, app);
    followCertificate(secure, certificate, log);
    server = secure;
  }
  answerRefusals(server, app, options);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 1_024 }, () => resolve());
  });
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  return { server, url: httpUrl(host, actual, certificate !== null) };
}
