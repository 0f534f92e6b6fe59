import { unitsPerPoint } from '../event/friendship.ts';
import type { DifferenceCount } from './ports.ts';

/** How much higher (below zero: lower) the new scorer scores, in points, over all events that it scored. */
export type Distribution = {
  readonly events: number;
  readonly lower: number;
  readonly same: number;
  readonly higher: number;
  readonly mean: number;
  readonly percentiles: Readonly<Record<(typeof percents)[number], number>>;
  /** In ascending order, from the first to the last that has events. `from` is in it, `to` is not; null: no bound. */
  readonly buckets: readonly { readonly from: number | null; readonly to: number | null; readonly events: number }[];
};

const percents = [0, 1, 10, 50, 90, 99, 100] as const;
/** Points. What is the same has a bucket of its own. */
const steps = [1, 2, 5, 10, 20, 50];
const smallest = 1 / unitsPerPoint;
const edges = [...steps.map((step) => -step).reverse(), 0, smallest, ...steps];

/**
 * @param differences  in ascending order. @param unchanged  events that are scored as before in every respect.
 * @returns null if nothing was scored.
 */
export function distributionOf(differences: readonly DifferenceCount[], unchanged: number): Distribution | null {
  const counts = withUnchanged(differences, unchanged);
  const count = (wanted: (units: number) => boolean) =>
    counts.reduce((sum, { units, events }) => sum + (wanted(units) ? events : 0), 0);
  const events = count(() => true);
  if (events === 0) return null;
  const sum = counts.reduce((total, one) => total + one.units * one.events, 0);
  return {
    events,
    lower: count((units) => units < 0),
    same: count((units) => units === 0),
    higher: count((units) => units > 0),
    mean: Math.round(sum / events) / unitsPerPoint,
    percentiles: Object.fromEntries(
      percents.map((percent) => [percent, percentile(counts, events, percent)]),
    ) as Distribution['percentiles'],
    buckets: bucketsOf(counts),
  };
}

function withUnchanged(differences: readonly DifferenceCount[], unchanged: number): DifferenceCount[] {
  const others = differences.filter(({ units }) => units !== 0);
  const same = differences.reduce((sum, { units, events }) => sum + (units === 0 ? events : 0), unchanged);
  return (same === 0 ? others : [...others, { units: 0, events: same }]).toSorted((a, b) => a.units - b.units);
}

/** By nearest rank. */
function percentile(counts: readonly DifferenceCount[], events: number, percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * events));
  let seen = 0;
  for (const one of counts) {
    seen += one.events;
    if (seen >= rank) return one.units / unitsPerPoint;
  }
  return 0;
}

function bucketsOf(counts: readonly DifferenceCount[]): Distribution['buckets'] {
  const bounds = [null, ...edges, null];
  const all = bounds.slice(1).map((to, i) => {
    const from = bounds[i] ?? null;
    const isIn = ({ units }: DifferenceCount) => {
      const points = units / unitsPerPoint;
      return (from === null || points >= from) && (to === null || points < to);
    };
    return { from, to, events: counts.filter(isIn).reduce((sum, one) => sum + one.events, 0) };
  });
  const has = ({ events }: { events: number }) => events > 0;
  return all.slice(all.findIndex(has), all.findLastIndex(has) + 1);
}
