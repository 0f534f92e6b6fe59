import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  circuitBreaker,
  DelegateBackoff,
  handleWhen,
  retry,
  TaskCancelledError,
} from 'cockatiel';
import pLimit from 'p-limit';
import { Pool } from 'undici';
import type { Gauge } from '../gauge.ts';
import type { Logger } from '../log.ts';

/**
 * Why a call has no answer. `refused`: a 4xx about what was sent (400, 413, 422), which it would get again; all others
 * may pass, also a wrong key or address (401, 404). `garbage`: an answer that is too large, or not what was
 * agreed. `open`: the circuit is, and nothing was sent. `busy`: nor was it, because too many others wait.
 */
export type RemoteReason = 'refused' | 'status' | 'timeout' | 'connection' | 'garbage' | 'open' | 'busy';

export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  readonly reason: RemoteReason;
  /** Of the answer, if there was one. */
  readonly status: number | null;
  /** When the service wants to be asked again; 0: it does not say. */
  readonly retryAfterMs: number;

  constructor(
    reason: RemoteReason,
    message: string,
    options: { status?: number; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.status = options.status ?? null;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

export type Remote = {
  /**
   * Posts JSON, and reads the answer with `read`, which throws if it is not what was agreed. Repeated on failures that
   * may pass, so that it has to be idempotent.
   *
   * @throws {RemoteError}
   */
  post<T>(body: unknown, read: (answer: unknown) => T, watch?: Watch): Promise<T>;
  readonly gauge: Gauge;
  /** Ends the connections. Calls in flight fail. */
  close(): Promise<void>;
};

/** Is told of each attempt. One that is still under way when the call fails never ends. */
type Watch = {
  readonly onSend: () => void;
  /** `answered`: with what was agreed. */
  readonly onEnd: (outcome: 'answered' | RemoteReason) => void;
};

const maxAnswerBytes = 1_048_576;
const maxPending = 1_000;
const connectMs = 2_000;
const retries = 2;
const firstPauseMs = 50;
/** After so many failures in a row nothing is sent, and after this time one call may try. */
const failuresToOpen = 5;
const defaultOpenMs = 5_000;
/** About what was sent: it is too large, or cannot be used. */
const refusals = new Set([400, 413, 422]);
const tooManyRequests = 429;
/** Of the other 4xx, those that are worth another attempt: request timeout, too early, too many requests. */
const passing = new Set([408, 425, tooManyRequests]);

/**
 * A service over HTTP that is asked by POST: a pool of connections for the life of the process, time limits, retries
 * with jitter, and a circuit that opens when the service is down, so that callers know at once.
 *
 * @param options.name  as in `the phoneme service`.
 * @param options.deadlineMs  of a call with its retries, without its wait for a connection; one attempt has at most
 *   half of it.
 */
export function createRemote(options: {
  readonly name: string;
  /** Name of the gauge. */
  readonly gauge: string;
  readonly url: string;
  readonly connections: number;
  readonly deadlineMs: number;
  readonly openMs?: number;
  /** What is sent may confuse it: garbage says nothing about its health. */
  readonly mayConfuse?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly onCircuit?: (isOpen: boolean) => void;
  readonly log: Logger;
}): Remote {
  const { name, deadlineMs, openMs = defaultOpenMs, log } = options;
  const url = new URL(options.url);
  const pool = new Pool(url.origin, {
    connections: options.connections,
    connect: { timeout: Math.min(connectMs, deadlineMs) },
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 300_000,
  });
  /** A service that is busy, or confused by one request, is not down. */
  const isFailure = handleWhen(
    (error) =>
      error instanceof RemoteError &&
      error.reason !== 'refused' &&
      error.status !== tooManyRequests &&
      !(error.reason === 'garbage' && options.mayConfuse),
  );
  /** Nothing is gained by waiting longer than anybody waits for the answer. */
  const worthRetrying = (until: number) =>
    handleWhen(
      (error) =>
        error instanceof RemoteError &&
        error.reason !== 'refused' &&
        !isMisconfigured(error.status) &&
        performance.now() + error.retryAfterMs < until,
    );
  /** Waiting here, and not in the pool, takes nothing from the time of an attempt. */
  const limit = pLimit(options.connections);
  const backoff = new DelegateBackoff<{ readonly attempt: number; readonly result: object }>(({ attempt, result }) => {
    const wanted = 'error' in result && result.error instanceof RemoteError ? result.error.retryAfterMs : 0;
    return Math.max(wanted, firstPauseMs * 2 ** attempt * (0.5 + Math.random()));
  });
  const circuit = circuitBreaker(isFailure, {
    breaker: new ConsecutiveBreaker(failuresToOpen),
    halfOpenAfter: openMs,
  });
  let pending = 0;
  circuit.onBreak(() => {
    log.warn({ service: name, forMs: openMs }, 'circuit open: the service fails, and gets no calls for a while');
    options.onCircuit?.(true);
  });
  circuit.onReset(() => {
    log.info({ service: name }, 'circuit closed: the service answers again');
    options.onCircuit?.(false);
  });

  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    ...((url.username !== '' || url.password !== '') && { authorization: basicAuth(url) }),
    ...options.headers,
  };

  async function attempt<T>(body: string, read: (answer: unknown) => T, deadline: AbortSignal): Promise<T> {
    const signal = AbortSignal.any([deadline, AbortSignal.timeout(Math.ceil(deadlineMs / 2))]);
    let answer: Awaited<ReturnType<typeof pool.request>>;
    let text: string;
    try {
      answer = await pool.request({
        path: url.pathname + url.search,
        method: 'POST',
        headers,
        body,
        signal,
      });
      text = await readText(answer.body);
    } catch (cause) {
      if (cause instanceof RemoteError) throw cause;
      if (signal.aborted) throw new RemoteError('timeout', `${name} did not answer in time`, { cause });
      throw new RemoteError('connection', `${name} cannot be reached, or ended the connection`, { cause });
    }
    const status = answer.statusCode;
    if (refusals.has(status))
      throw new RemoteError('refused', `${name} refused the request with ${status}`, { status });
    if (status < 200 || status > 299) {
      const retryAfterMs = msOf(answer.headers['retry-after']);
      throw new RemoteError('status', `${name} answered ${status}`, { status, retryAfterMs });
    }
    try {
      return read(JSON.parse(text));
    } catch (error) {
      if (error instanceof RemoteError) throw error;
      // What came may quote what was sent, and so is not told.
      throw new RemoteError('garbage', `${name} answered something else than was agreed`, { status });
    }
  }

  return {
    gauge: { name: options.gauge, bound: maxPending, held: () => pending },
    async post(body, read, watch = nobody) {
      if (pending >= maxPending) throw new RemoteError('busy', `${pending} calls to ${name} are waiting`);
      pending++;
      try {
        return await limit(() => call(JSON.stringify(body), read, watch));
      } finally {
        pending--;
      }
    },
    close: () => pool.destroy(),
  };

  async function call<T>(text: string, read: (answer: unknown) => T, { onSend, onEnd }: Watch): Promise<T> {
    const until = performance.now() + deadlineMs;
    const deadline = AbortSignal.timeout(deadlineMs);
    const late = Promise.withResolvers<never>();
    const onLate = () => late.reject(new RemoteError('timeout', `${name} did not answer within ${deadlineMs} ms`));
    deadline.addEventListener('abort', onLate, { once: true });
    late.promise.catch(() => {}); // it may come when nobody waits any more
    const tryOnce = async () => {
      onSend();
      try {
        const answer = await attempt(text, read, deadline);
        onEnd('answered');
        return answer;
      } catch (error) {
        onEnd(error instanceof RemoteError ? error.reason : 'garbage');
        throw error;
      }
    };
    try {
      return await Promise.race([
        retry(worthRetrying(until), { maxAttempts: retries, backoff }).execute(() => {
          // A pause between two attempts may outlast the deadline. What is not sent says nothing about the service, and
          // so must not reach the circuit.
          if (deadline.aborted) throw new TaskCancelledError();
          return circuit.execute(tryOnce);
        }),
        late.promise,
      ]);
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw new RemoteError('open', `${name} does not answer at the moment`);
      throw error;
    } finally {
      deadline.removeEventListener('abort', onLate);
    }
  }
}

/** A wrong address or key: retrying does not help until the configuration is corrected. */
function isMisconfigured(status: number | null): boolean {
  return status !== null && status >= 400 && status < 500 && !passing.has(status);
}

const nobody: Watch = { onSend: () => {}, onEnd: () => {} };

function basicAuth({ username, password }: URL): string {
  return `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`;
}

/** A password may contain a percent sign that encodes nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Seconds or a date (RFC 9110); 0 if it is neither. */
function msOf(retryAfter: string | string[] | undefined): number {
  const text = String(retryAfter ?? '');
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > maxAnswerBytes) throw new RemoteError('garbage', `an answer of more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
