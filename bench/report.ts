import { escapeHtml, svgChart } from '../src/terminal/svg-chart.ts';
import type { Row } from './lib/rounds.ts';
import type { Classic, HeatMap } from './measures/classic.ts';
import { acceptFloor, drainFloor, reached, tableOf, targets } from './targets.ts';

export type Report = {
  readonly date: string;
  /** The commit that each measure was run at. */
  readonly commits: Readonly<Record<string, string>>;
  readonly command: string;
  readonly machine: Readonly<Record<string, unknown>>;
  readonly servers: Readonly<Record<string, string>>;
  readonly missing: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
  readonly ratios: Readonly<Record<string, number>>;
  readonly classic: Classic | null;
  readonly heatMap: HeatMap | null;
};

/** One self-contained page with inline SVG charts: it opens anywhere, without a network. */
export async function toHtml(report: Report): Promise<string> {
  const sections = await Promise.all([
    bars(report, 'accept', '/s', 'Accepted per second, 100 connections', {
      'composed floor': acceptFloor(tableOf(report.rows)),
    }),
    bars(report, 'accept', 'p99 ms', 'p99 of the answer, ms', {}),
    bars(report, 'drain', '/s', 'Drained per second, no-op scorer (workers x deliveries)', {
      'composed floor': drainFloor(tableOf(report.rows)),
    }),
    bars(report, 'scoring', '/s', 'Drained per second with CPU work, and the scorer alone', {}),
    bars(
      report,
      'waiting',
      's',
      'Seconds until all events are processed, with a scorer that waits (events x wait, workers x deliveries)',
      {},
    ),
    bars(report, 'waiting', 'MiB of all workers', 'Memory of the workers meanwhile (PSS), MiB', {}),
    bars(report, 'waiting', '/s', 'Drained per second with a scorer that uses the CPU and waits', {}),
    bars(report, 'latency', 'processed p99 ms', 'Due to processed, p99, ms (open loop, share of capacity)', {}),
    bars(report, 'growth', '/s', 'As it grows', {}),
    bars(report, 'backlog', '/s', 'With a long queue', {}),
    heatMap(report.heatMap),
    queueOverTime(report.classic),
    classicTable(report.classic),
    stages(report),
  ]);
  const { machine, servers } = report;
  const { cpu, cores, memoryGiB, node } = machine;
  const hardware = `${cpu} with ${cores} cores, ${memoryGiB} GiB, Node ${node}`;
  const circumstances = [report.date.slice(0, 10), commitsOf(report), hardware, ...Object.values(servers)].join(', ');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Afterword: how fast</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2530;
  background: #fff }
  h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2.5rem }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .2rem .9rem .2rem 0;
  text-align: left; border-bottom: 1px solid #e4e8ee }
  td.n, th.n { text-align: right } .no { color: #b3261e } .yes { color: #1b7f4b } .note { color:
  #5b6675 } svg { max-width: 100%; height: auto }
  .scroll { overflow-x: auto }
</style></head><body>
<h1>How fast</h1>
<p class="note">${text(`${circumstances}.`)}
<code>${text(report.command)}</code>. A figure is the median of alternating rounds; load,
servers and what is measured share the machine, so compare within this page only.</p>
${Object.entries(report.missing)
  .map(([name, why]) => `<p class="note">${text(`${name} is missing: ${why}.`)}</p>`)
  .join('')}
<h2>Targets</h2>${targetTable(report)}
${sections.join('\n')}
<h2>All figures</h2>${figures(report.rows)}
</body></html>
`;
}

/** The commit, or which measures belong to which commit. */
function commitsOf({ commits }: Report): string {
  const measuresOf = new Map<string, string[]>();
  for (const [measure, commit] of Object.entries(commits))
    measuresOf.set(commit, [...(measuresOf.get(commit) ?? []), measure]);
  const [only, ...others] = measuresOf.keys();
  if (others.length === 0) return `commit ${only}`;
  return `commits ${[...measuresOf].map(([commit, measures]) => `${commit} (${measures.join(', ')})`).join(', ')}`;
}

function targetTable({ ratios }: Report): string {
  const lines = targets.flatMap((target) => {
    const value = ratios[target.name];
    if (value === undefined) return [];
    const ok = reached(target, value);
    return (
      `<tr><td>${text(target.name)}</td><td class="n">${target.want}</td><td class="n">${shown(value)}</td><td ` +
      `class="${ok ? 'yes' : 'no'}">${ok ? 'reached' : 'not reached'}</td></tr>`
    );
  });
  return (
    `<div class="scroll"><table><tr><th>ratio</th><th class="n">wanted</th><th ` +
    `class="n">measured</th><th></th></tr>${lines.join('')}</table></div>`
  );
}

function bars(
  report: Report,
  measure: string,
  unit: string,
  title: string,
  extra: Readonly<Record<string, number>>,
): string | Promise<string> {
  const rows = report.rows.filter((r) => r.measure === measure && r.unit === unit);
  if (rows.length === 0) return '';
  const items = [
    ...rows.map((r) => ({ name: r.subject, value: r.figure.median, spread: [r.figure.low, r.figure.high] })),
    ...Object.entries(extra).flatMap(([name, value]) =>
      Number.isFinite(value) ? [{ name, value, spread: [value, value] }] : [],
    ),
  ].reverse();
  const colour = (name: string) =>
    name.startsWith('afterword') || name.startsWith('at ')
      ? '#2563eb'
      : name === 'composed floor'
        ? '#111827'
        : '#9aa6b8';
  return chart(title, 60 + items.length * 26, {
    grid: { left: 330, right: 70, top: 10, bottom: 30 },
    xAxis: { type: 'value' },
    yAxis: { type: 'category', data: items.map((i) => i.name), axisLabel: { width: 315, overflow: 'truncate' } },
    series: [
      {
        type: 'bar',
        data: items.map((i) => ({ value: i.value, itemStyle: { color: colour(i.name) } })),
      },
      {
        type: 'custom',
        // From the slowest to the fastest round, with the median printed behind it: at the bar's end the line would
        // cross it out.
        renderItem: (_params: unknown, api: { value(i: number): number; coord(p: number[]): number[] }) => {
          const [low = 0, y = 0] = api.coord([api.value(1), api.value(0)]);
          const [high = 0] = api.coord([api.value(2), api.value(0)]);
          const text = shown(items[api.value(0)]?.value ?? Number.NaN);
          return {
            type: 'group',
            children: [
              {
                type: 'line',
                shape: { x1: low, y1: y, x2: high, y2: y },
                style: { stroke: '#111827', lineWidth: 1.5 },
              },
              {
                type: 'text',
                style: { text, x: high + 6, y, textVerticalAlign: 'middle', fontSize: 12, fill: '#1d2530' },
              },
            ],
          };
        },
        data: items.map((item, i) => [i, ...item.spread]),
        encode: { x: [1, 2], y: 0 },
      },
    ],
  });
}

function heatMap(map: HeatMap | null): string | Promise<string> {
  if (map === null) return '';
  const data = map.rates.flatMap((row, w) => row.map((rate, c) => [c, w, Math.round(rate)]));
  return chart('Workers x deliveries each, drained per second', 330, {
    grid: { left: 70, right: 90, top: 10, bottom: 45 },
    xAxis: { type: 'category', data: map.concurrency.map(String), name: 'C', nameLocation: 'middle', nameGap: 28 },
    yAxis: { type: 'category', data: map.workers.map((w) => `W = ${w}`) },
    visualMap: {
      min: 0,
      max: Math.max(...data.map(([, , rate]) => rate ?? 0)),
      right: 0,
      top: 20,
      inRange: { color: ['#eef3fb', '#2563eb'] },
    },
    series: [{ type: 'heatmap', data, label: { show: true } }],
  });
}

function queueOverTime(classic: Classic | null): string | Promise<string> {
  if (classic === null) return '';
  return chart('Classic run: 500 requests from 100 users, 4 workers x 10, the friendship scorer', 300, {
    grid: { left: 60, right: 20, top: 35, bottom: 40 },
    legend: { top: 0, itemGap: 24 },
    xAxis: { type: 'value', name: 'ms', nameLocation: 'middle', nameGap: 25 },
    yAxis: { type: 'value' },
    series: [
      {
        type: 'line',
        name: 'accepted, not processed',
        data: classic.queue.map((q) => [q.ms, q.open]),
        showSymbol: false,
      },
      {
        type: 'line',
        name: 'waiting in the queue',
        data: classic.queue.map((q) => [q.ms, q.queued]),
        showSymbol: false,
      },
    ],
  });
}

function stages({ rows }: Report): string | Promise<string> {
  const own = rows.filter((r) => r.measure === 'stages');
  if (own.length === 0) return '';
  const subjects = [...new Set(own.map((r) => r.subject))];
  const units = [...new Set(own.map((r) => r.unit))];
  return chart('CPU of an event by stage, from profiles, µs', 380, {
    grid: { left: 180, right: 20, top: 90, bottom: 30 },
    legend: { top: 0, itemGap: 24 },
    xAxis: { type: 'value' },
    yAxis: { type: 'category', data: subjects.toReversed() },
    series: units.map((unit) => ({
      type: 'bar',
      stack: 'all',
      name: unit.replace('µs ', ''),
      data: subjects
        .toReversed()
        .map((subject) => own.find((r) => r.subject === subject && r.unit === unit)?.figure.median ?? 0),
    })),
  });
}

function chart(title: string, height: number, option: Record<string, unknown>): Promise<string> {
  return svgChart(title, { width: 1_040, height }, option);
}

function classicTable(classic: Classic | null): string {
  if (classic === null) return '';
  const lines = Object.entries(classic.values).map(
    ([name, value]) => `<tr><td>${text(name)}</td><td class="n">${shown(value)}</td></tr>`,
  );
  return `<table>${lines.join('')}</table>`;
}

function figures(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ measure, subject, unit, figure }) =>
      `<tr><td>${text(measure)}</td><td>${text(subject)}</td><td ` +
      `class="n">${shown(figure.median)}</td><td>${text(unit)}</td><td ` +
      `class="n">${figure.rounds.map(shown).join(' · ')}</td></tr>`,
  );
  return (
    `<div class="scroll"><table><tr><th>measure</th><th>subject</th><th class="n">median</th><th>unit</th><th ` +
    `class="n">rounds</th></tr>${lines.join('')}</table></div>`
  );
}

export function shown(value: number): string {
  if (!Number.isFinite(value)) return 'not measured';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

const text = escapeHtml;
