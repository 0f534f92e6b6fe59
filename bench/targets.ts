import type { Row } from './lib/rounds.ts';
import { composed } from './lib/stats.ts';
import { hybridLimit, hybridName, leastSeconds } from './measures/waiting.ts';

/** A ratio (or, where stated, a plain figure) that this project holds itself to, from one run on one machine. */
export type Target = {
  readonly name: string;
  readonly want: string;
  readonly bound: number;
  readonly better: 'higher' | 'lower';
  readonly of: (t: Table) => number;
};

/** Looks up a median by measure, subject and unit; NaN if it was not measured. */
export type Table = {
  (measure: string, subject: string, unit?: string): number;
  /** The highest of all subjects in this unit. */
  worst(measure: string, unit: string): number;
  /** The best of all subjects whose name begins with `begin`. */
  best(measure: string, begin: string): number;
};

export function tableOf(rows: readonly Row[]): Table {
  const look = (measure: string, subject: string, unit = '/s') =>
    rows.find((r) => r.measure === measure && r.subject === subject && r.unit === unit)?.figure.median ?? Number.NaN;
  // Without measurements there is no figure; it must not count as the lowest.
  const highest = (of: readonly Row[]) => (of.length === 0 ? Number.NaN : Math.max(...of.map((r) => r.figure.median)));
  const worst = (measure: string, unit: string) =>
    highest(rows.filter((r) => r.measure === measure && r.unit === unit));
  const best = (measure: string, begin: string) =>
    highest(rows.filter((r) => r.measure === measure && r.subject.startsWith(begin) && r.unit === '/s'));
  return Object.assign(look, { best, worst });
}

const bull = 'BullMQ (appendfsync always)';
export const acceptFloor = (t: Table) =>
  composed(t('accept', 'Express only'), t('accept', 'multi-row INSERT'), t('accept', 'publish with confirms'));
export const drainFloor = (t: Table) => composed(t('drain', 'consume + ack'), t('drain', 'batched settle'));
const ours = (t: Table) => t('accept', 'afterword');

export const targets: readonly Target[] = [
  higher('accept / composed floor', 1.3, (t) => ours(t) / acceptFloor(t)),
  higher('accept / plain pipeline', 2.5, (t) => ours(t) / t('accept', 'plain pipeline')),
  higher('accept / BullMQ', 2.5, (t) => ours(t) / t('accept', bull)),
  lower(
    'accept p99 / plain pipeline',
    0.333,
    (t) => t('accept', 'afterword', 'p99 ms') / t('accept', 'plain pipeline', 'p99 ms'),
  ),
  lower('accept p99, ms', 100, (t) => t('accept', 'afterword', 'p99 ms')),
  higher('drain best / composed floor', 0.7, (t) => t.best('drain', 'afterword') / drainFloor(t)),
  higher('drain best / plain best', 6, (t) => t.best('drain', 'afterword') / t.best('drain', 'plain pipeline')),
  higher('drain best / BullMQ best', 5, (t) => t.best('drain', 'afterword') / t.best('drain', bull)),
  higher('drain best / Celery best', 8, (t) => t.best('drain', 'afterword') / t.best('drain', 'Celery')),
  higher(
    'drain 4 x 10 / plain 4 x 10',
    2.5,
    (t) => t('drain', 'afterword 4 x 10') / t('drain', 'plain pipeline 4 x 10'),
  ),
  higher(
    '5 ms of CPU / scorer alone',
    0.9,
    (t) => t('scoring', 'afterword, 5 ms') / t('scoring', 'scorer alone, 5 ms'),
  ),
  higher(
    '20 ms of CPU / scorer alone',
    0.97,
    (t) => t('scoring', 'afterword, 20 ms') / t('scoring', 'scorer alone, 20 ms'),
  ),
  ...waitingTargets(),
  lower('10 workers x 10, PSS after load, MiB', 700, (t) => t('memory', '10 workers x 10', 'MiB after load')),
  lower('worker start to first processed, ms', 1_000, (t) =>
    t('memory', 'a worker starts', 'ms to the first processed'),
  ),
  lower(
    'accept, empty / 10 M stored',
    1.15,
    (t) => t('growth', 'accept, none stored') / t('growth', 'accept, 10 M stored'),
  ),
  lower(
    'drain, empty / 10 M stored',
    1.15,
    (t) => t('growth', 'drain, none stored') / t('growth', 'drain, 10 M stored'),
  ),
  lower(
    'drain, short / backlog of 1 M',
    1.15,
    (t) => t('backlog', 'drain, backlog of 40,000') / t('backlog', 'drain, backlog of 1,000,000'),
  ),
  lower('advisor off by, worst of unseen runs', 0.2, (t) => t.worst('size', 'off by')),
  lower('processed p99 at half load, ms', 50, (t) => t('latency', 'at 50 %', 'processed p99 ms')),
  lower(
    'processed p99 / 202 p99 of the plain pipeline, at 80 % of its rate',
    1,
    (t) =>
      t('latency', 'afterword, at the same rate', 'processed p99 ms') /
      t('latency', 'plain pipeline, at 80 % of its capacity', '202 p99 ms'),
  ),
  higher(
    'messages / straight to the database',
    3,
    (t) => t('sessions', 'afterword') / t('sessions', 'straight to the database'),
  ),
  higher(
    'messages / bare ioredis pipeline',
    0.5,
    (t) => t('sessions', 'afterword') / t('sessions', 'bare ioredis pipeline'),
  ),
  higher('messages / plain design', 1, (t) => t('sessions', 'afterword') / t('sessions', 'plain design')),
  lower(
    'message p99 / straight to the database',
    0.5,
    (t) => t('sessions', 'afterword', 'p99 ms') / t('sessions', 'straight to the database', 'p99 ms'),
  ),
  higher('messages synced per second', 20_000, (t) => t('sessions', 'a million pending', 'synced /s')),
  lower('two look-ups / one', 1.05, (t) => t('pronunciation', 'through an API', 'two / one')),
  lower('look-ups of 100 callers of one text', 1, (t) => t('pronunciation', 'through an API', 'calls for 100 at once')),
  lower('connections per 1,000 comparisons', 16, (t) => t('pronunciation', 'through an API', 'connections per 1,000')),
  lower(
    'memory with a million texts / with a tenth',
    1.2,
    (t) =>
      t('pronunciation', 'a million texts', 'heap MiB at 1,000,000') /
      t('pronunciation', 'a million texts', 'heap MiB at 100,000'),
  ),
  lower('message body, bytes', 400, (t) => t('bytes', 'message body', 'bytes')),
  lower(
    'binary log of mark and settle, bytes',
    2_500,
    (t) => t('bytes', 'binary log, confirm mark', 'bytes') + t('bytes', 'binary log, settle', 'bytes'),
  ),
  lower('broker disk, backlog of 1 M, MB', 600, (t) => t('backlog', 'broker disk, backlog of 1,000,000', 'MB')),
];

function waitingTargets(): Target[] {
  const bounds = {
    '480 x 5 s, 4 x 120': [1.15, 600],
    '80 x 2 s, 4 x 10': [1.15, null],
    '100 x 5 s, 10 x 10': [1.2, 750],
  } as const;
  return [
    ...Object.entries(bounds).flatMap(([name, [time, mib]]) => {
      const of = (unit: string) => (t: Table) => t('waiting', `afterword, ${name}`, unit);
      return [
        lower(`${name}: seconds / waiting alone`, time, (t) => of('s')(t) / leastSeconds(name)),
        ...(mib === null ? [] : [lower(`${name}: PSS of all workers, MiB`, mib, of('MiB of all workers'))]),
      ];
    }),
    higher(
      '5 ms of CPU and 500 ms of waiting / what cores and C allow',
      0.9,
      (t) => t('waiting', `afterword, ${hybridName}`) / hybridLimit,
    ),
  ];
}

function higher(name: string, bound: number, of: Target['of']): Target {
  return { name, want: `≥ ${bound}`, bound, better: 'higher', of };
}

function lower(name: string, bound: number, of: Target['of']): Target {
  return { name, want: `≤ ${bound}`, bound, better: 'lower', of };
}

export function reached(target: Target, value: number): boolean {
  return target.better === 'higher' ? value >= target.bound : value <= target.bound;
}

/** A loss larger than this is more than noise. */
const tolerated = 0.15;

/** Ratios more than 15 % worse than recorded; a ratio that only one of the two measured is not compared. */
export function losses(
  now: Readonly<Record<string, number>>,
  recorded: Readonly<Record<string, number>>,
): { name: string; recorded: number; now: number }[] {
  return targets.flatMap(({ name, better }) => {
    const [a, b] = [recorded[name], now[name]];
    if (a === undefined || b === undefined) return [];
    const worse = better === 'higher' ? b < a * (1 - tolerated) : b > a / (1 - tolerated);
    return worse ? [{ name, recorded: a, now: b }] : [];
  });
}
