/** This checkout and another version of it, in turn. */
import type { Contender, Workload } from '../contenders/contender.ts';
import { cpuColumns, cpuOfEach } from '../lib/cpu.ts';
import { load } from '../lib/load.ts';
import type { Row, Subject } from '../lib/rounds.ts';
import { drain } from './drain.ts';

const warmSeconds = 2;

type Case = Workload & { readonly name: string; readonly events: number };

const drains: readonly Case[] = [
  { name: 'drain 1 x 10', workers: 1, concurrency: 10, events: 14_000 },
  { name: 'drain 4 x 10', workers: 4, concurrency: 10, events: 14_000 },
  { name: 'drain 1 x 50', workers: 1, concurrency: 50, events: 24_000 },
  { name: 'drain 2 x 50', workers: 2, concurrency: 50, events: 24_000 },
];
const burns: readonly Case[] = [1, 5, 20].map((burnMs) => ({
  name: `${burnMs} ms of CPU, 1 x 50`,
  workers: 1,
  concurrency: 50,
  burnMs,
  events: Math.ceil(20_000 / burnMs),
}));

/** @param only  the parts to compare. */
export function againstSubjects(
  now: Contender,
  before: Contender,
  only: ReadonlySet<string>,
  seconds: number,
): Subject[] {
  const cases = [...(only.has('drain') ? drains : []), ...(only.has('scoring') ? burns : [])];
  // The two take turns within a round, so that a slow minute of the machine affects both.
  const both = (name: string, round: (contender: Contender) => Promise<Record<string, number>>): Subject[] =>
    [before, now].map((contender) => ({ name: `${name}, ${contender.name}`, round: () => round(contender) }));
  return [
    ...(only.has('accept') ? both('accept', (contender) => accept(contender, seconds)) : []),
    ...cases.flatMap((c) =>
      both(c.name, async (contender) => {
        const { rate, cpu } = await drain(contender, c, { events: c.events, seconds });
        return { '/s': rate, ...cpuColumns(cpu) };
      }),
    ),
  ];
}

async function accept(contender: Contender, seconds: number): Promise<Record<string, number>> {
  await using session = await contender.open();
  const api = await session.startApi();
  await load(api.url, warmSeconds);
  let measured: Record<string, number> = {};
  const cpu = await cpuOfEach([api.pid], async () => {
    measured = await load(api.url, seconds);
    return Math.round((measured['/s'] ?? 0) * seconds);
  });
  await api.stop();
  return { ...measured, ...cpuColumns(cpu) };
}

/** The ratio of now to before, for each figure that both have. */
export function againstRatios(
  rows: readonly Row[],
  now: Contender,
  before: Contender,
): { readonly name: string; readonly ratio: number }[] {
  return rows.flatMap(({ subject, unit, figure }) => {
    if (!subject.endsWith(`, ${now.name}`)) return [];
    const name = subject.slice(0, -now.name.length - 2);
    const old = rows.find((row) => row.subject === `${name}, ${before.name}` && row.unit === unit);
    return old === undefined ? [] : [{ name: `${name}, ${unit}`, ratio: figure.median / old.figure.median }];
  });
}
