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
    printLine(`left as they are, as they cannot be scored (${code}): ${events}, for example ${example}`);
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

function closing({ id, state, undoes, undoneBy }: Rescore, users: number): string {
  const of = counted(users, 'user');
  const results = undoes === null ? 'new results' : `results from before run ${undoes}`;
  const command = `\`afterword rescore --run ${id} --apply\``;
  switch (state) {
    case 'scoring':
    case 'scored':
      return users === 0
        ? 'there is nothing to change'
        : `nothing is changed yet; to give ${of} the ${results}: ${command}`;
    case 'applying':
      return `the ${results} are applied to some of ${of}; to continue: ${command}`;
    case 'applied':
      if (undoneBy !== null) return `run ${undoneBy} took these results back`;
      return undoes === null
        ? `applied to ${of}; to take the results back: \`afterword rescore undo ${id}\``
        : `the ${results} are back, for ${of}`;
  }
}
