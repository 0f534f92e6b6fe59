import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Config } from '../config.ts';
import { size } from '../operate/index.ts';
import { createStop } from '../runtime/shutdown.ts';
import { maxConnections } from '../store/index.ts';
import { exitCodes } from './exit-codes.ts';
import { statementDeadlineMs } from './parts.ts';
import { printJson, printLine } from './print.ts';
import { readBodies } from './size-bodies.ts';
import { TrialGround } from './size-ground.ts';
import { measureScorer } from './size-scorer.ts';
import { StoppedError } from './start-error.ts';
import { quiet } from './tools.ts';

export type SizeOptions = size.Goal & {
  readonly body: string | null;
  readonly seconds: number;
  readonly json: boolean;
  readonly html: string | null;
};

/** What the model is fitted to; the others are there to contradict it. */
const seen = [
  [1, 2],
  [1, 10],
  [1, 50],
  [4, 10],
  [4, 50],
] as const;
const unseen = [2, 20] as const;

/** Measures this machine with the user's scorer, and says how to size the fleet. @returns exit code: 1 if the goal cannot be had as asked. */
export async function runSize(config: Config, options: SizeOptions): Promise<number> {
  const stop = createStop(quiet).signal;
  const say = (line: string) => {
    if (stop.aborted) throw new StoppedError('stopped; what was made for the measurement is removed');
    process.stderr.write(`· ${line}\n`);
  };
  const bodies = await readBodies(options.body);
  say('the scorer alone');
  const { bodyBytes, ...scorer } = await measureScorer(config, bodies.next);
  const base = { cores: availableParallelism(), scorer };
  await using ground = await TrialGround.open(config, bodies.next, stop);
  say(`on a database and a queue of its own, ${ground.name}, which go with the measurement`);
  // Until something is measured: as fast as the threads could score, and no pipeline is faster than this.
  let fastest = Math.min(4_000, (size.threadsFor(base, 1, 50) * 1_000) / scorer.wallMs);
  const run = async (workers: number, concurrency: number): Promise<size.Trial> => {
    const setting = { workers, concurrency, threads: size.threadsFor(base, workers, concurrency) };
    for (let events = backlogFor(fastest, options.seconds); ; events *= 2) {
      await ground.fill(events);
      const { dry, ...trial } = await ground.drain(setting, options.seconds);
      if (dry && events < 100_000) continue; // faster than was thought
      fastest = Math.max(fastest, trial.rate);
      say(size.describeTrial(trial));
      return trial;
    }
  };
  const fitted: size.Trial[] = [];
  for (const [workers, concurrency] of seen) fitted.push(await run(workers, concurrency));
  const commitMs = await ground.commitMs();
  const first = size.fitModel(fitted);
  const promising = size.bestSetting(base, first);

  const checks: size.Check[] = [];
  const checkTrials: size.Trial[] = [];
  const isRunAnyway = [...seen, unseen].some(([w, c]) => w === promising.workers && c === promising.concurrency);
  for (const [workers, concurrency] of [unseen, ...(isRunAnyway ? [] : [[promising.workers, promising.concurrency] as const])]) {
    const trial = await run(workers, concurrency);
    checks.push({ workers, concurrency, predicted: first.rate(workers, concurrency), measured: trial.rate });
    checkTrials.push(trial);
  }
  // What was measured to check the model is worth knowing, too.
  const trials = [...fitted, ...checkTrials];
  const model = size.fitModel(trials);
  const setting = size.confirmSetting(promising, trials);
  const measured: size.Measured = {
    ...base,
    bodyBytes,
    commitMs,
    acceptRate: ground.acceptRate,
    maxConnections: await maxConnections(ground.store, statementDeadlineMs),
    trials,
  };
  const capacity = size.sustained(measured, model.rate(setting.workers, setting.concurrency));
  const points: size.LatencyPoint[] = [];
  for (const share of [0.3, 0.6]) {
    const found = await ground.latency(setting, capacity * share, Math.max(options.seconds, 200 / (capacity * share)));
    say(`at ${share * 100} %: p50 ${Math.round(found.p50Ms)} ms, p99 ${Math.round(found.p99Ms)} ms from accept to processed`);
    points.push({ share, ...found });
  }
  const advice = size.advise(measured, model, points as [size.LatencyPoint, size.LatencyPoint], options, setting);
  const lines = size.explain(measured, model, advice, checks, options);
  if (options.json)
    printJson({
      measured,
      model: { alone: model.alone, sharing: model.sharing },
      predictions: size.predictions(measured, model),
      checks,
      latency: points,
      advice,
    });
  else printLine(lines.join('\n'));
  if (options.html !== null) {
    await writeFile(options.html, await size.sizeHtml(model, trials, checks, advice, lines));
    say(`chart: ${options.html}`);
  }
  return advice.shortfall === null ? exitCodes.ok : exitCodes.failed;
}

/** Enough for a run that is half as fast again as the fastest so far. */
function backlogFor(fastest: number, seconds: number): number {
  return Math.max(300, Math.ceil(fastest * 1.5 * (seconds + 2.5)));
}
