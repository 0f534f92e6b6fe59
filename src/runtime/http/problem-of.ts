import type { Request } from 'express';
import { PipelineError } from '../../event/fault.ts';
import { Problem } from './problem.ts';

/** What a caller is told of a failure. @param request  whose body was read; not given: none was. */
export function problemOf(error: unknown, request?: Request): Problem {
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
  if (status === 400 && request?.headers['content-encoding'] !== undefined) {
    return new Problem(400, 'bad_encoding', 'the body is not what its Content-Encoding says');
  }
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new Problem(status, 'bad_request', 'the request cannot be read');
  return new Problem(500, 'internal_error', 'something unexpected went wrong; the log has it under this request id');
}
