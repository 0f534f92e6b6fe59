import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { Gauge } from '../gauge.ts';
import { Problem, sendProblem } from './problem.ts';

const mediaType = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;
const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * Middleware that parses a JSON request into `request.body`, or answers 400, 413 or 415. Invalid UTF-8 is refused, not
 * repaired. With `optional`, a request without a body passes, and `request.body` is undefined.
 */
export function jsonBody(
  maxBytes: number,
  { optional = false }: { readonly optional?: boolean } = {},
): RequestHandler[] {
  const chain = [requireJson, express.raw({ type: () => true, limit: maxBytes }), parse];
  if (!optional) return chain;
  return chain.map((handler) => (request, response, next) => {
    const hasBody =
      request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
    if (hasBody) return handler(request, response, next);
    request.body = undefined;
    next();
  });
}

function requireJson(request: Request, _response: Response, next: NextFunction): void {
  const type = request.headers['content-type'] ?? '';
  if (!mediaType.test(type)) {
    throw new Problem(415, 'unsupported_media_type', 'the body must be sent with Content-Type: application/json');
  }
  const named = charset.exec(type)?.[1];
  if (named !== undefined && !/^utf-?8$/i.test(named)) {
    throw new Problem(415, 'unsupported_charset', 'the body must be UTF-8, the only charset of JSON');
  }
  next();
}

function parse(request: Request, response: Response, next: NextFunction): void {
  // The request was refused in the middle of its body; the part that arrived must not be accepted.
  if (response.headersSent) return;
  const raw: unknown = request.body;
  if (!Buffer.isBuffer(raw) || raw.length === 0) throw new Problem(400, 'empty_body', 'the request has no body');
  request.body = parseJson(raw);
  next();
}

/** @throws {Problem} 400 */
export function parseJson(bytes: Buffer): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Problem(400, 'invalid_utf8', 'the body is not valid UTF-8');
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message quotes the text.
    throw new Problem(400, 'invalid_json', 'the body is not valid JSON');
  }
}

/** What a chunk takes at least, in bytes: a body may come in pieces of one byte, which are kept until it is whole. */
const leastPerChunk = 640;

export type BodyBudget = { readonly handler: RequestHandler; readonly gauge: Gauge };

/**
 * Bounds the memory that request bodies take. It counts the bytes that have arrived: a client that announces much and
 * sends little takes little. Beyond `budgetBytes` a request gets a 503, before its body is read or in the middle of it.
 */
export function createBodyBudget(budgetBytes: number, maxBytes: number): BodyBudget {
  let held = 0;
  return {
    gauge: { name: 'request_body_bytes', bound: budgetBytes, held: () => held },
    handler(request, response, next) {
      // A compressed body may expand to the limit, which cannot be seen here.
      let cost = request.headers['content-encoding'] ? maxBytes : 0;
      let over = false;
      if (held + cost >= budgetBytes) throw overloaded();
      held += cost;
      request.on('data', (chunk: Buffer) => {
        if (over) return; // the rest of a body that was refused
        const taken = Math.max(chunk.length, leastPerChunk);
        cost += taken;
        held += taken;
        if (held <= budgetBytes || response.headersSent) return;
        // The rest is never read: the connection ends with the answer, and the part that arrived is discarded.
        response.setHeader('Connection', 'close');
        response.once('finish', () => request.destroy());
        sendProblem(response, overloaded());
      });
      response.once('close', () => {
        over = true;
        held -= cost;
      });
      next();
    },
  };
}

function overloaded(): Problem {
  return new Problem(503, 'overloaded', 'too many request bodies are being held; try again shortly', {
    retryAfterSeconds: 1,
  });
}
