import type { Lane } from '../../event/lane.ts';
import { shareOut } from './share-out.ts';

/** A consumer on a lane's queue. Its size is its prefetch, which cannot be changed while it lives. */
type Unit = { readonly tag: string; readonly size: number; readonly held: number };

/** What a lane has, and what it wants. Slots are deliveries that this worker may hold. */
export type LaneState = {
  readonly lane: Lane;
  readonly weight: number;
  readonly units: readonly Unit[];
  /** Deliveries that cancelled consumers have left behind. They take slots until they are answered. */
  readonly left: number;
  /** The most that were held at once lately. */
  readonly peak: number;
  /** How many more it could use: the messages that wait, if all of its slots are in use or it has none. */
  readonly wants: number;
};

export type Plan = {
  readonly cancel: readonly string[];
  readonly begin: readonly { readonly lane: Lane; readonly size: number }[];
  /** Every lane has what it should have. */
  readonly isSettled: boolean;
};

const nothing: Plan = { cancel: [], begin: [], isSettled: true };
/** A lane with so many consumers waits for more slots at once, if more are to come: each costs the broker something. */
const manyUnits = 8;
const smallestShare = 1 / 16;

/**
 * What to change so that every slot is of use. While no lane wants more than it has, each keeps what it has, and those
 * that have none get a share, so that their next message is taken at once. Otherwise slots that nobody uses go to those
 * who want them, and if all want them, they are divided by weight.
 *
 * A slot that is taken away is free once its delivery is answered: consumers and what cancelled ones have left never
 * exceed `capacity` together.
 */
export function plan(capacity: number, states: readonly LaneState[], turn: number): Plan {
  const taken = states.map(({ units, left }) => sizeOf(units) + left);
  const isWanted = states.some(({ wants }) => wants > 0);
  const isBare = states.some(({ units }) => units.length === 0);
  if (!isWanted && !isBare && sum(taken) === capacity) return nothing;
  const isOver = sum(taken) > capacity;
  // What was in full use lately is not taken from its lane for others that have nothing to do.
  if (!isWanted && !isOver && leavesNoRoom(capacity, states)) return nothing;
  const targets = isWanted ? whenWanted(capacity, states, turn) : whenQuiet(capacity, states, turn);
  const deficits = states.map((_, i) => Math.max(0, (targets[i] ?? 0) - (taken[i] ?? 0)));
  const isSettled = sum(deficits) === 0;
  let free = capacity - sum(taken);

  const left = sum(states.map((state) => state.left));
  const begin: { lane: Lane; size: number }[] = [];
  // Whoever has least of what it should have comes first: slots that are still left behind are in nobody's share.
  const order = [...states.keys()].toSorted((a, b) => shareOf(a) - shareOf(b));
  for (const i of order) {
    const deficit = deficits[i] ?? 0;
    const size = Math.min(deficit, Math.max(0, free));
    const { lane, units } = states[i] as LaneState;
    const isTooSmall = size < deficit && size < capacity * smallestShare && left > 0 && units.length >= manyUnits;
    if (size === 0 || isTooSmall) continue;
    begin.push({ lane, size });
    deficits[i] = deficit - size;
    free -= size;
  }
  function shareOf(i: number): number {
    return (taken[i] ?? 0) / Math.max(1, targets[i] ?? 0);
  }
  // While it is quiet, slots only move to those that have none.
  if (!isWanted && !isBare && !isOver) return { cancel: [], begin, isSettled };
  return { cancel: choose(states, targets, { missing: sum(deficits) - free, left }), begin, isSettled };
}

/**
 * Consumers of lanes that have more than they should: those with slots that are not in use, which are free at once, and
 * then others, if what is left to be answered is not enough.
 */
function choose(
  states: readonly LaneState[],
  targets: readonly number[],
  { missing, left }: { missing: number; readonly left: number },
): string[] {
  const cancel: string[] = [];
  const surplus = states.map(({ units, left }, i) => sizeOf(units) + left - (targets[i] ?? 0));
  const candidates = states.flatMap(({ units }, i) => units.map((unit) => ({ ...unit, i })));
  const take = ({ tag, size, i }: (typeof candidates)[number]) => {
    cancel.push(tag);
    surplus[i] = (surplus[i] ?? 0) - size;
  };
  for (const unit of candidates.toSorted((a, b) => a.held - b.held)) {
    const idle = unit.size - unit.held;
    if (missing <= 0) return cancel;
    if (idle === 0 || (surplus[unit.i] ?? 0) <= 0) continue;
    take(unit);
    missing -= idle;
  }
  missing -= left;
  for (const unit of candidates.toSorted((a, b) => a.size - b.size)) {
    if (missing <= 0) return cancel;
    if (unit.size > unit.held || (surplus[unit.i] ?? 0) <= 0) continue;
    take(unit);
    missing -= unit.size;
  }
  return cancel;
}

function whenWanted(capacity: number, states: readonly LaneState[], turn: number): readonly number[] {
  return shareOut(
    capacity,
    states.map(({ weight, peak, wants }) => ({ weight, needs: peak + wants })),
    turn,
  );
}

/** Whether lanes without slots would have to take them from others that have used theirs lately. */
function leavesNoRoom(capacity: number, states: readonly LaneState[]): boolean {
  const isNew = states.every(({ units }) => units.length === 0);
  return !isNew && sum(states.map(({ peak }) => Math.max(1, peak))) > capacity;
}

/** By weight, but what each has needed lately in any case. */
function whenQuiet(capacity: number, states: readonly LaneState[], turn: number): readonly number[] {
  const needed = sum(states.map(({ peak }) => Math.max(1, peak)));
  return shareOut(
    capacity,
    states.map(({ weight, peak }) => ({
      weight,
      needs: Number.POSITIVE_INFINITY,
      least: needed <= capacity ? peak : 0,
    })),
    turn,
  );
}

function sizeOf(units: readonly Unit[]): number {
  return sum(units.map(({ size }) => size));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
