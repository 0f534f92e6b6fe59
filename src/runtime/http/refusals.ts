import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type RequestListener, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { Problem, problemText } from './problem.ts';

/** Node's error codes for input that it refuses before there is a request (`socketOnError` in `_http_server.js`). */
const early: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: new Problem(431, 'headers_too_large', 'the request line and headers are larger than 16 KiB'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: new Problem(413, 'body_too_large', 'the chunk extensions of the body are too large'),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem(408, 'too_slow', 'the request did not arrive in time'),
  HPE_INVALID_METHOD: new Problem(400, 'unknown_method', 'HTTP has no such method'),
};
const unreadable = new Problem(400, 'bad_request', 'this is not an HTTP/1.1 request');

/** Answers what Node would refuse with an empty response with a problem document, like all other errors. */
export function answerRefusals(
  server: Server,
  app: RequestListener,
  options: {
    readonly maxBodyBytes: number;
    readonly problemBaseUrl: string | null;
    /** Paths whose bodies may be of any length. */
    readonly longBodies: readonly string[];
  },
): void {
  const { maxBodyBytes, problemBaseUrl, longBodies } = options;
  server.on('clientError', (error: Error & { code?: string }, socket: Duplex) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
    const { status, body, headers } = rawAnswer(early[error.code ?? ''] ?? unreadable, problemBaseUrl);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
  });
  const refuse = (response: ServerResponse, problem: Problem) => {
    const { status, body, headers } = rawAnswer(problem, problemBaseUrl);
    response.writeHead(status, headers).end(body);
  };
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    refuse(
      response,
      new Problem(417, 'unknown_expectation', 'the only expectation that is understood is 100-continue'),
    );
  });
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // A body that is too long by its declared length is refused before it is sent.
    const mayBeLong = longBodies.includes((request.url ?? '').split('?')[0] ?? '');
    if (!mayBeLong && Number(request.headers['content-length']) > maxBodyBytes) {
      return refuse(response, new Problem(413, 'body_too_large', `the body is larger than ${maxBodyBytes} bytes`));
    }
    response.writeContinue();
    app(request, response);
  });
}

function rawAnswer(problem: Problem, base: string | null) {
  const id = randomUUID();
  const body = problemText(problem, id, base ?? undefined);
  const headers = {
    'X-Request-Id': id,
    'Content-Type': 'application/problem+json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  };
  return { status: problem.status, body, headers };
}
