import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import cliProgress from 'cli-progress';
import { Agent, type Dispatcher, interceptors, request } from 'undici';
import { pause } from '../runtime/wait.ts';
import { exitCodes } from './exit-codes.ts';
import { StartError } from './start-error.ts';

export type SendOptions = {
  readonly url: string;
  readonly concurrency: number;
  readonly wait: boolean;
  /** Seconds after which an event that is still open counts as such. */
  readonly timeout: number;
  readonly json: boolean;
};

type Summary = {
  posted: number;
  accepted: number;
  replayed: number;
  rejected: Record<string, number>;
  processed: number;
  failed: number;
  skipped: number;
  stillOpen: number;
  acceptMs: Percentiles | null;
  acceptToProcessedMs: Percentiles | null;
  seconds: number;
};
type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number };

const waitSeconds = 10;

/**
 * Posts a file of request bodies, one a line, and says what became of them.
 *
 * @param file  path of an NDJSON file, or `-` for stdin.
 * @returns exit code: 0 if every body was accepted and, with `wait`, processed.
 */
export async function runSend(file: string, options: SendOptions): Promise<number> {
  if (file !== '-') await stat(file);
  await requireApi(options.url);
  const lines = createInterface({ input: file === '-' ? process.stdin : createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  const client = createClient(options);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const bar = createBar(options);
  const summary: Summary = {
    posted: 0,
    accepted: 0,
    replayed: 0,
    rejected: {},
    processed: 0,
    failed: 0,
    skipped: 0,
    stillOpen: 0,
    acceptMs: null,
    acceptToProcessedMs: null,
    seconds: 0,
  };
  const acceptMs: number[] = [];
  const processedMs: number[] = [];
  const open: string[] = [];
  const startedAt = performance.now();

  bar.start('posting');
  await eachConcurrently(lines, options.concurrency, stop.signal, async (line) => {
    if (line.trim() === '') return;
    summary.posted++;
    bar.total(summary.posted);
    const sentAt = performance.now();
    const answer = await post(client, options.url, line);
    if (answer.location === null) {
      summary.rejected[answer.reason] = (summary.rejected[answer.reason] ?? 0) + 1;
    } else {
      acceptMs.push(performance.now() - sentAt);
      summary.accepted++;
      if (answer.replayed) summary.replayed++;
      open.push(answer.location);
    }
    bar.tick();
  });
  summary.acceptMs = percentiles(acceptMs);

  if (options.wait) {
    bar.start('waiting until all are closed', open.length);
    const giveUpAt = performance.now() + options.timeout * 1_000;
    await eachConcurrently(open, options.concurrency, stop.signal, async (location) => {
      const closed = await untilClosed(client, new URL(location, options.url), giveUpAt, stop.signal);
      if (closed === null) summary.stillOpen++;
      else if (closed.status === 'PROCESSED') {
        summary.processed++;
        processedMs.push(closed.tookMs);
      } else if (closed.status === 'FAILED') summary.failed++;
      else summary.skipped++;
      bar.tick();
    });
    summary.acceptToProcessedMs = percentiles(processedMs);
  }
  bar.stop();
  summary.seconds = (performance.now() - startedAt) / 1_000;
  await client.destroy();
  process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : describe(summary, options));
  const complete = summary.accepted === summary.posted && (!options.wait || summary.processed === summary.accepted);
  return complete && !stop.signal.aborted ? exitCodes.ok : exitCodes.failed;
}

/** One look before the first body: a wrong address should not be retried for a thousand bodies. */
async function requireApi(url: string): Promise<void> {
  try {
    await (await request(new URL('/healthz', url))).body.dump();
  } catch (cause) {
    const why = (cause as { code?: string }).code ?? String(cause);
    throw new StartError(`no API answers at ${url} (${why}): start one with scripts/up, or give its address with --url`, {
      cause,
      mayPass: true,
    });
  }
}

/** Repeats what the service asks to repeat (503 and 429 with Retry-After) and what the network dropped: ids make that safe. */
function createClient(options: SendOptions): Dispatcher {
  return new Agent({ connections: options.concurrency, headersTimeout: 60_000 }).compose(
    interceptors.retry({
      maxRetries: 8,
      minTimeout: 200,
      maxTimeout: 5_000,
      methods: ['GET', 'POST'],
      statusCodes: [429, 502, 503, 504],
      throwOnError: false,
    }),
  );
}

type PostAnswer = { readonly location: string; readonly replayed: boolean } | { readonly location: null; readonly reason: string };

async function post(client: Dispatcher, base: string, body: string): Promise<PostAnswer> {
  try {
    const { origin } = new URL(base);
    const answer = await client.request({
      origin,
      path: '/v1/conversations/end',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await answer.body.text();
    if (answer.statusCode === 202) {
      return { location: String(answer.headers['location']), replayed: answer.headers['idempotency-replayed'] === 'true' };
    }
    const problem = JSON.parse(text) as { code?: string; errors?: { pointer: string; detail: string }[] };
    const [first] = problem.errors ?? [];
    return { location: null, reason: `${answer.statusCode} ${problem.code}${first ? ` (${first.pointer} ${first.detail})` : ''}` };
  } catch (error) {
    return { location: null, reason: `no answer (${(error as { code?: string }).code ?? String(error)})` };
  }
}

type Closed = { readonly status: string; readonly tookMs: number };

async function untilClosed(client: Dispatcher, url: URL, giveUpAt: number, stop: AbortSignal): Promise<Closed | null> {
  while (performance.now() < giveUpAt && !stop.aborted) {
    const seconds = Math.max(1, Math.min(waitSeconds, Math.round((giveUpAt - performance.now()) / 1_000)));
    const askedAt = performance.now();
    const closed = await statusOf(client, url, seconds).catch(() => null);
    if (closed !== null) return closed;
    // An answer that came at once (a problem, a server with too many waiting) must not make a hot loop.
    if (performance.now() - askedAt < 1_000) await pause(1_000, stop);
  }
  return null;
}

/** @returns null while it is open. */
async function statusOf(client: Dispatcher, url: URL, waitForSeconds: number): Promise<Closed | null> {
  const headers = { prefer: `wait=${waitForSeconds}` };
  const answer = await client.request({ origin: url.origin, path: url.pathname, method: 'GET', headers });
  const event = (await answer.body.json()) as { status: unknown; created_at: string; processed_at: string | null; updated_at: string };
  if (event.status !== 'PROCESSED' && event.status !== 'FAILED' && event.status !== 'SKIPPED') return null;
  return { status: event.status, tookMs: Date.parse(event.processed_at ?? event.updated_at) - Date.parse(event.created_at) };
}

async function eachConcurrently<T>(
  items: AsyncIterable<T> | Iterable<T>,
  concurrency: number,
  stop: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const item of items) {
    if (stop.aborted) break;
    const one = work(item).finally(() => running.delete(one));
    running.add(one);
    if (running.size >= concurrency) await Promise.race(running);
  }
  await Promise.all(running);
}

/** A bar on stderr in a terminal; elsewhere nothing, so that stdout stays for the summary. */
function createBar(options: SendOptions) {
  const shown = process.stderr.isTTY && !options.json;
  const bar = new cliProgress.SingleBar(
    { format: '{what} |{bar}| {value}/{total} {duration_formatted}', stream: process.stderr, hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  return {
    start(what: string, total = 0) {
      if (!shown) return;
      bar.stop();
      bar.start(total, 0, { what });
    },
    total: (n: number) => shown && bar.setTotal(n),
    tick: () => shown && bar.increment(),
    stop: () => shown && bar.stop(),
  };
}

function percentiles(values: number[]): Percentiles | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (p: number) => Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? 0) * 10) / 10;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function describe(s: Summary, options: SendOptions): string {
  const line = (name: string, value: string | number) => `  ${name.padEnd(22)} ${value}\n`;
  const times = (p: Percentiles | null) => (p ? `p50 ${p.p50} ms · p95 ${p.p95} ms · p99 ${p.p99} ms` : '–');
  const rejected = Object.entries(s.rejected);
  return [
    `\n${s.posted} conversations in ${s.seconds.toFixed(1)} s\n`,
    line('accepted', `${s.accepted}${s.replayed ? ` (${s.replayed} of them replayed: accepted before)` : ''}`),
    line(
      'rejected',
      rejected.reduce((sum, [, n]) => sum + n, 0),
    ),
    ...rejected.map(([reason, n]) => line('', `${n} × ${reason}`)),
    ...(options.wait ? [line('processed', s.processed), line('failed', s.failed)] : []),
    ...(s.skipped ? [line('skipped', s.skipped)] : []),
    ...(s.stillOpen ? [line('still open', s.stillOpen)] : []),
    line('accept', times(s.acceptMs)),
    ...(options.wait ? [line('accept to processed', times(s.acceptToProcessedMs))] : []),
    '\n',
  ].join('');
}
