import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
  wrap,
} from 'cockatiel';
import { Pool } from 'undici';
import type { Gauge } from '../gauge.ts';
import type { Logger } from '../log.ts';

/**
 * Why a call has no answer. `refused`: a 4xx that the same request would get again; all others may pass. `garbage`: an
 * answer that is too large, or not what was agreed. `open`: the circuit is, and nothing was sent.
 */
export type RemoteReason = 'refused' | 'status' | 'timeout' | 'connection' | 'garbage' | 'open' | 'busy';

export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  readonly reason: RemoteReason;
  /** Of the answer, if there was one. */
  readonly status: number | null;

  constructor(reason: RemoteReason, message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.status = options.status ?? null;
  }
}

export type Remote = {
  /**
   * Posts JSON, and reads the answer with `read`, which throws if it is not what was agreed. Repeated on failures that
   * may pass, so that it has to be idempotent.
   *
   * @throws {RemoteError}
   */
  post<T>(body: unknown, read: (answer: unknown) => T): Promise<T>;
  /** Nothing is sent at the moment. */
  readonly isOpen: boolean;
  readonly gauge: Gauge;
  /** Ends the connections. Calls in flight fail. */
  close(): Promise<void>;
};

const maxAnswerBytes = 1_048_576;
const maxPending = 1_000;
const connectMs = 2_000;
const retries = 2;
/** After so many failures in a row nothing is sent, and after this time one call may try. */
const failuresToOpen = 5;
const defaultOpenMs = 5_000;
/** Worth another attempt, although they are 4xx: request timeout, too early, too many requests. */
const passing = new Set([408, 425, 429]);

/**
 * A service over HTTP that is asked by POST: a pool of connections for the life of the process, time limits, retries
 * with jitter, and a circuit that opens when the service is down, so that callers know at once.
 *
 * @param options.deadlineMs  of a call with its retries; one attempt has at most half of it.
 */
export function createRemote(options: {
  readonly name: string;
  readonly url: string;
  readonly connections: number;
  readonly deadlineMs: number;
  readonly openMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly onCircuit?: (isOpen: boolean) => void;
  readonly log: Logger;
}): Remote {
  const { name, deadlineMs, log } = options;
  const url = new URL(options.url);
  const pool = new Pool(url.origin, {
    connections: options.connections,
    connect: { timeout: Math.min(connectMs, deadlineMs) },
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 300_000,
  });
  const mayPass = handleWhen((error) => error instanceof RemoteError && error.reason !== 'refused');
  const circuit = circuitBreaker(mayPass, {
    breaker: new ConsecutiveBreaker(failuresToOpen),
    halfOpenAfter: options.openMs ?? defaultOpenMs,
  });
  const patiently = wrap(
    retry(mayPass, { maxAttempts: retries, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000 }) }),
    circuit,
  );
  let pending = 0;
  circuit.onBreak(() => {
    log.warn({ service: name }, 'the service does not answer: nothing is sent to it for some seconds');
    options.onCircuit?.(true);
  });
  circuit.onReset(() => {
    log.info({ service: name }, 'the service answers again');
    options.onCircuit?.(false);
  });

  async function attempt<T>(body: string, read: (answer: unknown) => T, deadline: AbortSignal): Promise<T> {
    const signal = AbortSignal.any([deadline, AbortSignal.timeout(Math.ceil(deadlineMs / 2))]);
    let answer: Awaited<ReturnType<typeof pool.request>>;
    let text: string;
    try {
      answer = await pool.request({
        path: url.pathname + url.search,
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', ...options.headers },
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
    if (status >= 400 && status < 500 && !passing.has(status))
      throw new RemoteError('refused', `${name} refused the request with ${status}`, { status });
    if (status < 200 || status > 299) throw new RemoteError('status', `${name} answered ${status}`, { status });
    try {
      return read(JSON.parse(text));
    } catch {
      // What came may quote what was sent, and so is not told.
      throw new RemoteError('garbage', `${name} answered something else than was agreed`, { status });
    }
  }

  return {
    get isOpen() {
      return circuit.state === CircuitState.Open;
    },
    gauge: { name: `calls_to_${name}`, bound: maxPending, held: () => pending },
    async post(body, read) {
      if (pending >= maxPending) throw new RemoteError('busy', `${pending} calls to ${name} are waiting`);
      pending++;
      const text = JSON.stringify(body);
      const deadline = AbortSignal.timeout(deadlineMs);
      const late = Promise.withResolvers<never>();
      const onLate = () => late.reject(new RemoteError('timeout', `${name} did not answer within ${deadlineMs} ms`));
      deadline.addEventListener('abort', onLate, { once: true });
      late.promise.catch(() => {}); // it may come when nobody waits any more
      try {
        // Between two attempts nothing looks at the deadline.
        return await Promise.race([patiently.execute(() => attempt(text, read, deadline), deadline), late.promise]);
      } catch (error) {
        if (error instanceof BrokenCircuitError) throw new RemoteError('open', `${name} does not answer at the moment`);
        throw error;
      } finally {
        deadline.removeEventListener('abort', onLate);
        pending--;
      }
    },
    close: () => pool.destroy(),
  };
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
