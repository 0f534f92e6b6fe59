/** Whether `afterword size` is right: compares its predictions with runs that it has not seen. */
import { availableParallelism } from 'node:os';
import { runCommand } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import type { Contender } from '../contenders/contender.ts';
import { burnEnv, scorers } from '../contenders/scorers.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Row } from '../lib/rounds.ts';
import { figure } from '../lib/stats.ts';
import { drainRate } from './drain.ts';

type Prediction = {
  readonly workers: number;
  readonly concurrency: number;
  readonly threads: number;
  readonly rate: number;
};
type SizeReport = {
  readonly measured: { readonly trials: readonly Prediction[] };
  readonly predictions: readonly Prediction[];
  readonly advice: { readonly setting: Omit<Prediction, 'rate'> };
};

/** The advisor and unseen runs in turn, `n` times. */
export async function sizeAccuracy(
  ours: Contender,
  urls: Urls,
  seconds: number,
  n: number,
  say: (line: string) => void,
): Promise<Row[]> {
  const values = new Map<string, { predicted: number[]; measured: number[] }>();
  for (let round = 1; round <= n; round++) {
    for (const burnMs of [undefined, 5]) {
      const scorer = burnMs === undefined ? 'no-op scorer' : `${burnMs} ms of CPU`;
      const env =
        burnMs === undefined
          ? { SCORER_MODULE: scorers['no-op'] }
          : { SCORER_MODULE: scorers.burn, ...burnEnv(burnMs) };
      const report = await askAdvisor(urls, env);
      for (const predicted of unseenOf(report)) {
        const { workers, concurrency, threads, rate } = predicted;
        const events = Math.min(24_000, Math.ceil(rate * 1.6 * (seconds + 2)));
        const workload = {
          workers,
          concurrency,
          ...(burnMs !== undefined && { burnMs }),
          env: { SCORING_THREADS: String(threads) },
        };
        const measured = await drainRate(ours, workload, { events, seconds });
        const subject = `${scorer}, ${workers} x ${concurrency}`;
        say(`size: round ${round}, ${subject}: predicted ${Math.round(rate)}/s, measured ${Math.round(measured)}/s`);
        const list = values.get(subject) ?? { predicted: [], measured: [] };
        values.set(subject, { predicted: [...list.predicted, rate], measured: [...list.measured, measured] });
      }
      const { setting } = report.advice;
      say(
        `size: ${scorer}: recommends ${setting.workers} x ${setting.concurrency}, ` +
          `${setting.threads} threads on ${availableParallelism()} cores`,
      );
    }
  }
  return [...values].flatMap(([subject, { predicted, measured }]) => {
    const off = predicted.map((rate, i) => Math.abs(rate / (measured[i] ?? Number.NaN) - 1));
    return [
      { measure: 'size', subject, unit: 'predicted /s', figure: figure(predicted) },
      { measure: 'size', subject, unit: 'measured /s', figure: figure(measured) },
      { measure: 'size', subject, unit: 'off by', figure: figure(off) },
    ];
  });
}

function unseenOf({ measured, predictions }: SizeReport): Prediction[] {
  const isKnown = (p: Prediction) =>
    measured.trials.some((t) => t.workers === p.workers && t.concurrency === p.concurrency);
  return predictions.filter((p) => p.workers === 3 && [10, 20, 50].includes(p.concurrency) && !isKnown(p));
}

async function askAdvisor(urls: Urls, env: Record<string, string>): Promise<SizeReport> {
  const space = await createNamespace(urls, env);
  const { code, output } = await runCommand(['size', '--json'], space.env);
  await space.dispose();
  // 3: it says itself that its figures are not to be trusted; they are measured all the same.
  if (code !== 0 && code !== 3) throw new Error(`afterword size ended with ${code}:\n${output}`);
  return JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '{}') as SizeReport;
}
