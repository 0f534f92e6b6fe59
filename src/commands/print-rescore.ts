import { type Distribution, distributionOf } from '../rescore/index.ts';
import type { Rescore } from '../rescore/ports.ts';
import { findingsOf, type Store } from '../store/index.ts';
import { counted, plain, printLine, printReport, printTable } from '../terminal/print.ts';

const deadlineMs = 120_000;
const barWidth = 40;

/** What a run found, and what can be done with it. */
export async function printRescore(store: Store, run: Rescore, isJson: boolean): Promise<void> {
  const { differences, failures, users } = await findingsOf(store, run.id, deadlineMs);
  const distribution = distributionOf(differences, run.unchanged);
  const { firstId: _first, nextId: _next, ...shown } = run;
  if (isJson) {
    printReport({ ...shown, users, failures, distribution });
    return;
  }
  const head = `run ${run.id}, ${plain(run.scorer)}: ${counted(run.lookedAt, 'conversation')}`;
  printLine(run.withoutText === 0 ? head : `${head}, ${run.withoutText} of them without their text, left as they are`);
  for (const { code, events, example } of failures)
    printLine(`${events} cannot be scored (${code}) and stay as they are, for example ${example}`);
  if (distribution !== null) printDistribution(distribution);
  printLine(closing(run, users));
}

function printDistribution(found: Distribution): void {
  const { percentiles, buckets, events } = found;
  printLine(`lower ${found.lower}, the same ${found.same}, higher ${found.higher}; on average ${points(found.mean)}`);
  const named = Object.entries(percentiles).map(([percent, value]) => `${nameOf(percent)} ${points(value)}`);
  printLine(`${named.join(', ')} points`);
  const most = Math.max(...buckets.map((bucket) => bucket.events));
  printTable(
    [{ head: 'POINTS' }, { head: 'CONVERSATIONS' }, { head: '%' }, { head: '' }],
    buckets.map((bucket) => [
      rangeOf(bucket),
      bucket.events,
      ((100 * bucket.events) / events).toFixed(1),
      '█'.repeat(Math.ceil((barWidth * bucket.events) / most)),
    ]),
  );
}

function nameOf(percent: string): string {
  return percent === '0' ? 'lowest' : percent === '100' ? 'highest' : `p${percent}`;
}

function points(value: number): string {
  return value > 0 ? `+${value}` : String(value);
}

function rangeOf({ from, to }: Distribution['buckets'][number]): string {
  if (from === null) return `below ${to}`;
  if (to === null) return `${points(from)} and above`;
  if (from === 0) return 'the same';
  if (from > 0 && from < 1) return `0 to ${points(to)}`;
  return `${points(from)} to ${points(to)}`;
}

function closing({ id, state, undoes }: Rescore, users: number): string {
  const of = counted(users, 'user');
  switch (state) {
    case 'scoring':
    case 'scored':
      return users === 0
        ? 'there is nothing to change'
        : `nothing is changed yet: \`afterword rescore --run ${id} --apply\` gives ${of} the new results`;
    case 'applying':
      return `some of ${of} have the new results: \`afterword rescore --run ${id} --apply\` goes on`;
    case 'applied':
      return undoes === null
        ? `${of} have the new results; \`afterword rescore undo ${id}\` takes them back`
        : `${of} have the results from before run ${undoes}`;
  }
}
