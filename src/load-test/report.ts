import { escapeHtml, svgChart } from '../terminal/svg-chart.ts';
import type { Figures, Operation, Sample } from './recorder.ts';

type Totals = Readonly<Record<Operation | 'all', Figures>>;

/** Kinds of errors in a live line, the most frequent ones. */
const mostErrors = 3;

/** One line while it runs. */
export function liveLine({ seconds, users, perSecond, errors, latency, queued }: Sample): string {
  return [
    `${String(Math.round(seconds)).padStart(5)} s`,
    `${String(users).padStart(5)} users`,
    `${perSecond.toFixed(1).padStart(8)}/s`,
    latency === null ? '' : `p50 ${ms(latency.p50)}  p95 ${ms(latency.p95)}  p99 ${ms(latency.p99)}`,
    ...errors.slice(0, mostErrors).map(({ reason, count }) => `${count} × ${reason}`),
    queued === null ? '' : `queue ${queued}`,
  ]
    .filter((part) => part !== '')
    .join('  ');
}

/** What a run came to, as lines for a person. */
export function describeRun(how: string, totals: Totals, seconds: number, broken: readonly string[]): string[] {
  const lines = [how, ''];
  for (const name of ['submit', 'status', 'all'] as const) {
    const { requests, latency } = totals[name];
    if (latency === null) continue;
    lines.push(
      `${name.padEnd(7)} ${String(requests).padStart(8)} requests  ${(requests / seconds).toFixed(1).padStart(8)}/s  ` +
        `p50 ${ms(latency.p50)}  p95 ${ms(latency.p95)}  p99 ${ms(latency.p99)}  max ${ms(latency.max)}`,
    );
  }
  const { errors } = totals.all;
  lines.push('', errors.length === 0 ? 'no errors' : 'errors');
  for (const { reason, count } of errors) lines.push(`  ${String(count).padStart(8)}  ${reason}`);
  for (const text of broken) lines.push(`FAIL    ${text}`);
  return lines;
}

/** A page that opens anywhere, with charts over time. */
export async function htmlReport(lines: readonly string[], samples: readonly Sample[]): Promise<string> {
  const size = { width: 960, height: 260 };
  const chart = (title: string, unit: string, series: Readonly<Record<string, (s: Sample) => number | null>>) =>
    svgChart(title, size, {
      legend: { top: 0 },
      grid: { left: 60, right: 20, bottom: 30, top: 30 },
      xAxis: { type: 'value', name: 's', max: samples.at(-1)?.seconds ?? 1 },
      yAxis: { type: 'value', name: unit },
      series: Object.entries(series).map(([name, value]) => ({
        name,
        type: 'line',
        showSymbol: false,
        data: samples.map((sample) => [sample.seconds, value(sample)]),
      })),
    });
  const charts = [
    await chart('Requests', 'per second', { requests: (s) => s.perSecond, errors: (s) => s.errorsPerSecond }),
    await chart('Latency', 'ms', {
      p50: (s) => s.latency?.p50 ?? null,
      p95: (s) => s.latency?.p95 ?? null,
      p99: (s) => s.latency?.p99 ?? null,
    }),
    await chart('Users and queue', '', { users: (s) => s.users, 'messages in the queue': (s) => s.queued }),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Afterword: load</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1d2530;
  background: #fff }
  h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin-top: 2rem } svg { max-width: 100%; height: auto }
  pre { white-space: pre-wrap; background: #f5f7fa; padding: 1rem; border-radius: 6px; font-size: 13px }
</style></head><body>
<h1>Load</h1>
<pre>${escapeHtml(lines.join('\n'))}</pre>
${charts.join('\n')}
</body></html>
`;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
