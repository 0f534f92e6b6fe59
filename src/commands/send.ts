import cliProgress from 'cli-progress';
import { exitCodes } from '../runtime/exit-codes.ts';
import { answerOf, baseOf, connectApi, type PostAnswer } from '../send/api-client.ts';
import { sendBatch } from '../send/batch-client.ts';
import { readBodies } from '../send/bodies.ts';
import { counted } from '../terminal/print.ts';

type SendOptions = {
  readonly url: string;
  readonly concurrency: number;
  /** Several streams of lines instead of a request for each body. */
  readonly batch: boolean;
  readonly wait: boolean;
  /** Seconds to wait; an event that is open after that counts as still open. */
  readonly timeout: number;
  readonly json: boolean;
};

type Rejection = { count: number; readonly lines: number[] };
/** As `--json` prints it. */
type Summary = {
  posted: number;
  accepted: number;
  replayed: number;
  /** By reason, with the first line numbers that were rejected for it. */
  rejected: Record<string, Rejection>;
  processed: number;
  failed: number;
  skipped: number;
  still_open: number;
  accept_ms: Percentiles | null;
  /** Without replays, which were accepted some other time. */
  accept_to_processed_ms: Percentiles | null;
  seconds: number;
};
type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number };

/** Most line numbers kept for each reason. */
const maxLines = 5;

/**
 * Posts a file of request bodies, one per line, and reports the outcome.
 *
 * @param file  path of an NDJSON file, or `-` for stdin.
 * @returns exit code: 0 if every body was accepted and, with `wait`, processed.
 */
export async function runSend(file: string, options: SendOptions): Promise<number> {
  const bodies = await readBodies(file);
  const api = await connectApi(baseOf(options.url), options.concurrency);
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
    still_open: 0,
    accept_ms: null,
    accept_to_processed_ms: null,
    seconds: 0,
  };
  const acceptMs: number[] = [];
  const processedMs: number[] = [];
  const open: { readonly location: string; readonly replayed: boolean }[] = [];
  const startedAt = performance.now();

  function count(answer: PostAnswer, line: number, sentAt: number): void {
    if (answer.location === null) {
      summary.rejected[answer.reason] ??= { count: 0, lines: [] };
      const rejection = summary.rejected[answer.reason] as Rejection;
      rejection.count++;
      if (rejection.lines.length < maxLines) rejection.lines.push(line);
    } else {
      acceptMs.push(performance.now() - sentAt);
      summary.accepted++;
      if (answer.replayed) summary.replayed++;
      open.push(answer);
    }
    bar.tick();
  }

  try {
    bar.start('posting');
    const begin = () => bar.total(++summary.posted);
    const postOne = async (text: string, line: number, sentAt = performance.now()) =>
      count(await api.post(text), line, sentAt);
    if (options.batch) await eachInBatches(baseOf(options.url), bodies, { stop: stop.signal, begin, count, postOne });
    else
      await eachConcurrently(bodies, options.concurrency, stop.signal, async ({ text, line }) => {
        begin();
        await postOne(text, line);
      });
    summary.accept_ms = percentiles(acceptMs);

    if (options.wait) {
      bar.start('waiting until all are closed', open.length);
      const giveUpAt = performance.now() + options.timeout * 1_000;
      await eachConcurrently(open, options.concurrency, stop.signal, async ({ location, replayed }) => {
        const closed = await api.untilClosed(location, giveUpAt, stop.signal);
        if (closed === null) summary.still_open++;
        else if (closed.status === 'PROCESSED') {
          summary.processed++;
          if (!replayed) processedMs.push(closed.tookMs);
        } else if (closed.status === 'FAILED') summary.failed++;
        else summary.skipped++;
        bar.tick();
      });
      summary.accept_to_processed_ms = percentiles(processedMs);
    }
  } finally {
    bar.stop();
    await api.close();
  }
  summary.seconds = (performance.now() - startedAt) / 1_000;
  process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : describe(summary, options));
  const complete = summary.accepted === summary.posted && (!options.wait || summary.processed === summary.accepted);
  return complete && !stop.signal.aborted ? exitCodes.ok : exitCodes.failed;
}

type Body = { readonly text: string; readonly line: number };

/** What cannot be answered now, or was not before the connection ended, is posted alone, which waits and repeats. */
async function eachInBatches(
  base: string,
  bodies: AsyncIterable<Body> | Iterable<Body>,
  on: {
    readonly stop: AbortSignal;
    begin(): void;
    count(answer: PostAnswer, line: number, sentAt: number): void;
    postOne(text: string, line: number, sentAt: number): Promise<void>;
  },
): Promise<void> {
  const left = Symbol.asyncIterator in bodies ? bodies[Symbol.asyncIterator]() : bodies[Symbol.iterator]();
  const next = async () => {
    const { value, done } = await left.next();
    if (done || on.stop.aborted) return null;
    on.begin();
    return value as Body;
  };
  const stream = () =>
    sendBatch(base, next, async ({ item, sentAt, answer }) => {
      if (answer === null || passing.has(answer.status)) return on.postOne(item.text, item.line, sentAt);
      on.count(answerOf(answer.status, JSON.stringify(answer.body), answer.replayed), item.line, sentAt);
    });
  // Until nothing is left: a stream that was refused has taken none, or a few that were posted alone.
  await Promise.all(Array.from({ length: batchStreams }, stream));
  for (let item = await next(); item !== null; item = await next())
    await on.postOne(item.text, item.line, performance.now());
}

/** Statuses of a line that may pass. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** More gain nothing: they share the same commits. */
const batchStreams = 2;

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

/** A progress bar on stderr, in a terminal only; stdout is for the summary. */
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
  const at = (p: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? 0) * 10) / 10;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function describe(s: Summary, options: SendOptions): string {
  const line = (name: string, value: string | number) => `  ${name.padEnd(22)} ${value}\n`;
  const times = (p: Percentiles | null) => (p ? `p50 ${p.p50} ms · p95 ${p.p95} ms · p99 ${p.p99} ms` : '–');
  const rejected = Object.entries(s.rejected).toSorted(([, a], [, b]) => b.count - a.count);
  const total = rejected.reduce((sum, [, { count }]) => sum + count, 0);
  return [
    `\n${counted(s.posted, 'conversation')} in ${s.seconds.toFixed(1)} s\n`,
    line('accepted', `${s.accepted}${s.replayed ? ` (${s.replayed} of them replayed: accepted before)` : ''}`),
    line('rejected', total),
    ...rejected.map(([reason, { count, lines }]) => line('', `${count} × ${reason}, ${where(count, lines)}`)),
    ...(options.wait ? [line('processed', s.processed), line('failed', s.failed)] : []),
    ...(s.skipped ? [line('skipped', s.skipped)] : []),
    ...(s.still_open ? [line('still open', s.still_open)] : []),
    line('accept', times(s.accept_ms)),
    ...(options.wait ? [line('accept to processed', times(s.accept_to_processed_ms))] : []),
    '\n',
  ].join('');
}

function where(count: number, lines: readonly number[]): string {
  return (
    `${count === 1 ? 'line' : 'lines'} ` +
    `${lines.toSorted((a, b) => a - b).join(', ')}${count > lines.length ? ', …' : ''}`
  );
}
