/** Whether `afterword size` is right: its predictions against runs that it has not seen. */
import { availableParallelism } from 'node:os';
import { runCommand } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { burnEnv, type Contender, scorers } from '../lib/contenders.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Row } from '../lib/rounds.ts';
import { figure } from '../lib/stats.ts';
import { drainRate } from './drain.ts';

type Prediction = { readonly workers: number; readonly concurrency: number; readonly threads: number; readonly rate: number };
type SizeReport = {
  readonly measured: { readonly trials: readonly Prediction[] };
  readonly predictions: readonly Prediction[];
  readonly advice: { readonly setting: Omit<Prediction, 'rate'> };
};

export async function sizeAccuracy(ours: Contender, urls: Urls, seconds: number, say: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const burnMs of [undefined, 5]) {
    const scorer = burnMs === undefined ? 'no-op scorer' : `${burnMs} ms of CPU`;
    const env = burnMs === undefined ? { SCORER_MODULE: scorers['no-op'] } : { SCORER_MODULE: scorers.burn, ...burnEnv(burnMs) };
    const report = await askAdvisor(urls, env);
    const { setting } = report.advice;
    const isKnown = (p: Prediction) => report.measured.trials.some((t) => t.workers === p.workers && t.concurrency === p.concurrency);
    const wanted = (p: Prediction) => p.workers === 3 && (p.concurrency === 10 || p.concurrency === 20 || p.concurrency === 50);
    const unseen = report.predictions.filter((p) => wanted(p) && !isKnown(p));
    for (const predicted of unseen) {
      const { workers, concurrency, threads } = predicted;
      const events = Math.min(24_000, Math.ceil(predicted.rate * 1.6 * (seconds + 2)));
      const workload = { workers, concurrency, ...(burnMs !== undefined && { burnMs }), env: { SCORING_THREADS: String(threads) } };
      const measured = await drainRate(ours, workload, { events, seconds });
      say(`size: ${scorer}, ${workers} x ${concurrency}: predicted ${Math.round(predicted.rate)}/s, measured ${Math.round(measured)}/s`);
      const subject = `${scorer}, ${workers} x ${concurrency}`;
      rows.push({ measure: 'size', subject, unit: 'predicted /s', figure: figure([predicted.rate]) });
      rows.push({ measure: 'size', subject, unit: 'measured /s', figure: figure([measured]) });
      rows.push({ measure: 'size', subject, unit: 'off by', figure: figure([Math.abs(predicted.rate / measured - 1)]) });
    }
    say(
      `size: ${scorer}: recommends ${setting.workers} x ${setting.concurrency}, ${setting.threads} threads on ${availableParallelism()} cores`,
    );
  }
  return rows;
}

async function askAdvisor(urls: Urls, env: Record<string, string>): Promise<SizeReport> {
  const space = await createNamespace(urls, env);
  const { code, output } = await runCommand(['size', '--json'], space.env);
  await space.dispose();
  if (code !== 0) throw new Error(`afterword size ended with ${code}:\n${output}`);
  return JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '{}') as SizeReport;
}
