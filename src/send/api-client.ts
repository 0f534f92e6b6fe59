import { Agent, interceptors, request } from 'undici';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { pause } from '../runtime/wait.ts';
import { withApiKey } from './api-key.ts';

export type PostAnswer =
  | { readonly location: string; readonly replayed: boolean }
  | { readonly location: null; readonly reason: string };
type Closed = { readonly status: string; readonly tookMs: number };

type ApiClient = {
  post(body: string): Promise<PostAnswer>;
  /** @returns null if it is still open at `giveUpAt` (on the clock of `performance.now()`) or when `stop` fires. */
  untilClosed(location: string, giveUpAt: number, stop: AbortSignal): Promise<Closed | null>;
  close(): Promise<void>;
};

const waitSeconds = 10;

/** The part of the URL before `/v1/…`; behind a proxy it may have a path. @throws {StartError} */
export function baseOf(url: string): string {
  const { protocol, username, origin, pathname } = URL.canParse(url) ? new URL(url) : ({ protocol: '' } as URL);
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new UsageError(`--url ${url} is not an HTTP address: give one such as http://127.0.0.1:3000`);
  if (username !== '') throw new UsageError('--url contains a user name, which this command cannot use: omit it');
  return `${origin}${pathname.replace(/\/+$/, '').replace(/\/v1$/, '')}`;
}

/** @param base  as `baseOf` returns it. @throws {StartError} if no API answers there. */
export async function connectApi(base: string, concurrency: number): Promise<ApiClient> {
  await requireApi(base);
  // Retries what the service asks to be retried (503 and 429 with Retry-After) and what the network dropped: the ids
  // make that safe.
  const client = new Agent({ connections: concurrency, headersTimeout: 60_000 }).compose(
    withApiKey,
    interceptors.retry({
      maxRetries: 8,
      minTimeout: 200,
      // A limit per minute says so in Retry-After.
      maxTimeout: 65_000,
      methods: ['GET', 'POST'],
      statusCodes: [429, 502, 503, 504],
      throwOnError: false,
    }),
  );
  const at = (path: string) => {
    const { origin, pathname } = new URL(`${base}${path}`);
    return { origin, path: pathname };
  };

  async function post(body: string): Promise<PostAnswer> {
    try {
      const answer = await client.request({
        ...at('/v1/conversations/end'),
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const text = await answer.body.text();
      const location = String(answer.headers['location']);
      return answerOf(answer.statusCode, text, answer.headers['idempotency-replayed'] === 'true', location);
    } catch (error) {
      return { location: null, reason: `no answer (${(error as { code?: string }).code ?? String(error)})` };
    }
  }

  /** @returns null while it is open. */
  async function statusOf(location: string, seconds: number): Promise<Closed | null> {
    const answer = await client.request({ ...at(location), method: 'GET', headers: { prefer: `wait=${seconds}` } });
    const event = (await answer.body.json()) as {
      status: unknown;
      created_at: string;
      processed_at: string | null;
      updated_at: string;
    };
    if (event.status !== 'PROCESSED' && event.status !== 'FAILED' && event.status !== 'SKIPPED') return null;
    return {
      status: event.status,
      tookMs: Date.parse(event.processed_at ?? event.updated_at) - Date.parse(event.created_at),
    };
  }

  return {
    post,
    async untilClosed(location, giveUpAt, stop) {
      while (performance.now() < giveUpAt && !stop.aborted) {
        const seconds = Math.max(1, Math.min(waitSeconds, Math.round((giveUpAt - performance.now()) / 1_000)));
        const askedAt = performance.now();
        const closed = await statusOf(location, seconds).catch(() => null);
        if (closed !== null) return closed;
        // An immediate answer (a problem, or a server with too many waiting) must not make this a busy loop.
        if (performance.now() - askedAt < 1_000) await pause(1_000, stop);
      }
      return null;
    },
    close: () => client.destroy(),
  };
}

/** Of a request, or of a line of a batch, which has no `Location`. */
export function answerOf(status: number, text: string, replayed: boolean, location?: string): PostAnswer {
  if (status !== 202) return { location: null, reason: reasonOf(status, text) };
  if (location !== undefined) return { location, replayed };
  const { conversation_id: id } = JSON.parse(text) as { conversation_id: string };
  return { location: `/v1/conversations/${encodeURIComponent(id)}`, replayed };
}

/** The first error that a problem document names, and its place if it has one. */
function reasonOf(status: number, text: string): string {
  let problem: { code?: string; errors?: { pointer: string; detail: string }[] };
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    return `${status} without a problem document: is this an Afterword API?`;
  }
  const [first] = problem.errors ?? [];
  if (first === undefined) return `${status} ${problem.code}`;
  return `${status} ${problem.code} (${first.pointer || 'the body'} ${first.detail})`;
}

/** Checks once before the first body: a wrong address should not be retried for a thousand bodies. */
export async function requireApi(base: string): Promise<void> {
  const help = 'start one with scripts/up, or give its address with --url';
  let status: number;
  try {
    const answer = await request(`${base}/healthz`);
    await answer.body.dump();
    status = answer.statusCode;
  } catch (cause) {
    const why = (cause as { code?: string }).code ?? String(cause);
    throw new StartError(`no API answers at ${base} (${why}): ${help}`, { cause, mayPass: true });
  }
  if (status !== 200)
    throw new StartError(`${base} answers, but is not an Afterword API (${status} for /healthz): ${help}`);
}
