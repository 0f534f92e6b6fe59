import { access, constants, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { StoppedError, UsageError } from '../runtime/start-error.ts';
import * as size from '../size/index.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { quiet } from '../start/tool.ts';
import { maxConnections } from '../store/index.ts';
import { printLine, printReport } from '../terminal/print.ts';

type SizeOptions = size.Goal & {
  readonly body: string | null;
  readonly seconds: number;
  readonly json: boolean;
  readonly explain: boolean;
  readonly html: string | null;
};

/** How long the idle machine is observed before anything is measured. */
const quietMs = 2_000;

/**
 * Measures this machine with the user's scorer, and recommends a size for the fleet.
 * @returns exit code: 1 if the goal cannot be reached as asked, 3 if the figures cannot be trusted.
 */
export async function runSize(config: Config, options: SizeOptions): Promise<number> {
  const stop = createStop(quiet).signal;
  const say = (line: string) => {
    if (stop.aborted) throw new StoppedError('stopped; the temporary database and queue are removed');
    process.stderr.write(`· ${line}\n`);
  };
  const bodies = await size.readBodies(options.body);
  if (options.html !== null) await requireWritable(options.html);
  const busyBefore = await size.busyShareFor(quietMs);
  if (!size.isQuiet(busyBefore))
    say(`other processes use ${Math.round(busyBefore * 100)} % of the CPU: only the rest can be measured`);
  say('measuring the scorer alone');
  const { bodyBytes, ...scorer } = await size.measureScorer(config, bodies.next, stop);
  const base = { cores: availableParallelism(), scorer };
  await using bed = await size.TestBed.open(config, bodies.next, stop);
  say(`measuring the pipeline on a temporary database and queue, ${bed.name}`);
  const { seen, unseen } = size.settingsToMeasure(scorer);
  const window = windowFor(scorer, options.seconds);
  if (size.isWaiting(scorer))
    say(
      `it waits ${(scorer.wallMs / 1_000).toFixed(2)} s per event, so each run takes ${Math.round(window.seconds)} s`,
    );
  // Until something is measured: no pipeline of this kind is faster than this.
  let fastest = 4_000;
  const run = async ({ workers, concurrency }: { workers: number; concurrency: number }): Promise<size.Trial> => {
    const setting = { workers, concurrency, threads: size.threadsFor(base.cores, workers, concurrency) };
    const atOnce = workers * (size.isWaiting(scorer) ? concurrency : setting.threads);
    for (let events = backlogFor(Math.min(fastest, (atOnce * 1_000) / scorer.wallMs), window.seconds); ; events *= 2) {
      await bed.fill(events);
      const { dry, ...trial } = await size.measureDrain(bed, setting, window);
      if (dry && events < 100_000) continue; // faster than assumed
      fastest = Math.max(fastest, trial.rate);
      say(size.describeTrial(trial));
      return trial;
    }
  };
  const fitted: size.Trial[] = [];
  for (const shape of seen) fitted.push(await run(shape));
  const commitMs = await bed.commitMs();
  const first = size.fitModel(base, fitted);
  const promising = size.bestSetting(base.cores, first, options);

  const checks: size.Check[] = [];
  const checkTrials: size.Trial[] = [];
  // Where scorings wait, every other setting follows from the same line.
  const isRunAnyway = [...seen, unseen].some(
    (s) => s.workers === promising.workers && s.concurrency === promising.concurrency,
  );
  for (const shape of [unseen, ...(isRunAnyway || first.kind === 'waiting' ? [] : [promising])]) {
    const predicted = first.rate(shape.workers, shape.concurrency);
    let trial = await run(shape);
    if (size.isOff({ predicted, measured: trial.rate })) {
      say(`${Math.round(predicted)}/s was predicted: measuring again`);
      trial = await run(shape);
    }
    checks.push({ ...trial, predicted, measured: trial.rate });
    checkTrials.push(trial);
  }
  // The final model also uses the runs that checked it.
  const trials = [...fitted, ...checkTrials];
  const model = size.fitModel(base, trials);
  // With a scorer that waits, more in flight is always faster: only the refitted model counts.
  const setting =
    model.kind === 'waiting' ? size.bestSetting(base.cores, model, options) : size.confirmSetting(promising, trials);
  // Slow scorers are measured with too few events to tell an accept rate.
  if (!Number.isFinite(bed.acceptRate)) await bed.fill(size.fewestForRate);
  const measured: size.Measured = {
    ...base,
    bodyBytes,
    commitMs,
    acceptRate: bed.acceptRate,
    maxConnections: await maxConnections(bed.store, statementDeadlineMs),
    trials,
  };
  const capacity = size.sustained(measured, model, setting);
  const points: size.LatencyPoint[] = [];
  for (const share of [0.3, 0.6]) {
    const found = await size.measureLatency(
      bed,
      setting,
      capacity * share,
      Math.max(options.seconds, 200 / (capacity * share)),
    );
    say(
      `at ${share * 100} %: p50 ${Math.round(found.p50Ms)} ms, ` +
        `p99 ${Math.round(found.p99Ms)} ms from accept to processed`,
    );
    points.push({ share, ...found });
  }
  const advice = size.advise(measured, model, points as [size.LatencyPoint, size.LatencyPoint], options, setting);
  const lanes = size.laneRates(advice.drain * advice.machines, config.laneWeights, config.workerLanes);
  const distrust = size.distrustOf(busyBefore, checks);
  const lines = size.explain(measured, model, advice, checks, {
    ...options,
    ...{ distrust, lanes },
    inDetail: options.explain,
  });
  if (options.json)
    printReport({
      measured,
      model,
      predictions: size.predictions(measured, model),
      checks,
      latency: points,
      advice,
      lanes,
      distrust,
    });
  else printLine(lines.join('\n'));
  if (options.html !== null) {
    await writeFile(options.html, await size.sizeHtml(model, trials, checks, advice, lines));
    say(`chart: ${options.html}`);
  }
  if (distrust !== null) return exitCodes.undecided;
  return advice.shortfall === null ? exitCodes.ok : exitCodes.failed;
}

/** Checked before minutes of measuring. @throws {UsageError} */
async function requireWritable(path: string): Promise<void> {
  try {
    await access(dirname(resolve(path)), constants.W_OK);
    if ((await stat(path).catch(() => null))?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
  } catch (cause) {
    throw new UsageError(`--html ${path} cannot be written (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

/**
 * How long a run is measured, and how few events suffice. Deliveries that start together end together, so a run lasts
 * a whole number of waits: at least three, and at least `seconds`.
 */
function windowFor(scorer: size.Scorer, seconds: number): { readonly seconds: number; readonly fewest: number } {
  if (!size.isWaiting(scorer)) return { seconds, fewest: 60 };
  const waits = Math.max(3, Math.ceil((seconds * 1_000) / scorer.wallMs));
  return { seconds: (waits * scorer.wallMs) / 1_000, fewest: 0 };
}

/** Enough events for a run that is 1.5 times as fast as the fastest so far. */
function backlogFor(fastest: number, seconds: number): number {
  return Math.max(300, Math.ceil(fastest * 1.5 * (seconds + 2.5)));
}
