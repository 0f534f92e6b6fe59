import { escapeHtml, svgChart } from '../terminal/svg-chart.ts';
import { candidates } from './choose-setting.ts';
import type { Model, Trial } from './model.ts';
import type { Advice } from './recommend.ts';
import type { Check } from './trust.ts';

/** A page with the model, the measurements and the recommendation; the charts are inline SVG. */
export async function sizeHtml(
  model: Model,
  trials: readonly Trial[],
  checks: readonly Check[],
  advice: Advice,
  lines: readonly string[],
): Promise<string> {
  const all = candidates(model);
  const workers = [...new Set(all.map((c) => c.workers))];
  const concurrency = [...new Set(all.map((c) => c.concurrency))];
  const cells = all.map((c) => [
    concurrency.indexOf(c.concurrency),
    workers.indexOf(c.workers),
    Math.round(model.rate(c.workers, c.concurrency)),
  ]);
  const points = (list: readonly { readonly concurrency: number; readonly rate: number }[]) =>
    list.map((t) => [t.concurrency, t.rate]);
  const curve = Array.from({ length: Math.max(60, ...concurrency) }, (_, i) => i + 1);
  const lawOf = (w: number) => ({
    name: `W = ${w}, model`,
    type: 'line',
    showSymbol: false,
    data: curve.map((c) => [c, model.rate(w, c)]),
  });
  const measured = (w: number) => ({
    name: `W = ${w}, measured`,
    type: 'scatter',
    symbolSize: 11,
    data: points(trials.filter((t) => t.workers === w)),
  });
  const counts = [...new Set(trials.map((t) => t.workers))];
  return page(
    lines,
    await Promise.all([
      svgChart(
        'Drained per second, by deliveries per worker',
        { width: 960, height: 380 },
        {
          grid: { left: 70, right: 20, top: 50, bottom: 45 },
          legend: { top: 0, itemGap: 24 },
          xAxis: { type: 'value', name: 'MESSAGE_CONCURRENCY_PER_WORKER', nameLocation: 'middle', nameGap: 28 },
          yAxis: { type: 'value' },
          series: [
            ...counts.map(lawOf),
            ...counts.map(measured),
            {
              name: 'check: measured after the prediction',
              type: 'scatter',
              symbol: 'diamond',
              symbolSize: 14,
              data: checks.map((c) => [c.concurrency, c.measured]),
            },
          ],
        },
      ),
      svgChart(
        `Predicted, workers x deliveries; recommended: ${advice.setting.workers} x ${advice.setting.concurrency}`,
        { width: 960, height: 330 },
        {
          grid: { left: 70, right: 90, top: 10, bottom: 45 },
          xAxis: { type: 'category', data: concurrency.map(String), name: 'C', nameLocation: 'middle', nameGap: 28 },
          yAxis: { type: 'category', data: workers.map((w) => `W = ${w}`) },
          visualMap: {
            min: 0,
            max: Math.max(...cells.map(([, , rate]) => rate ?? 0)),
            right: 0,
            top: 20,
            inRange: { color: ['#eef3fb', '#2563eb'] },
          },
          series: [{ type: 'heatmap', data: cells, label: { show: true } }],
        },
      ),
    ]),
  );
}

function page(lines: readonly string[], charts: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Afterword: size</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1d2530;
  background: #fff }
  h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin-top: 2rem } svg { max-width: 100%; height: auto }
  pre { white-space: pre-wrap; background: #f5f7fa; padding: 1rem; border-radius: 6px; font-size: 13px }
</style></head><body>
<h1>How many workers</h1>
<pre>${escapeHtml(lines.join('\n'))}</pre>
${charts.join('\n')}
</body></html>
`;
}
