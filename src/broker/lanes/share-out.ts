/** What a lane could use. */
export type Demand = {
  readonly weight: number;
  /** Slots; `Infinity`: as many as there are. */
  readonly needs: number;
  /** Of these, the ones it gets in any case; all together they must not exceed the capacity. */
  readonly least?: number;
};

/**
 * Divides slots by weighted max-min fairness: nobody gets more than it needs, and what one leaves goes to the others by
 * their weights. Whoever needs any gets at least one; with fewer slots than that, they take turns by their weights.
 *
 * @param turn  counts up; which of them is served if there are too few slots.
 * @returns slots in the order of the demands: together at most `capacity`.
 */
export function shareOut(capacity: number, demands: readonly Demand[], turn: number): number[] {
  const given = demands.map(() => 0);
  const some = demands.flatMap(({ needs }, i) => (needs > 0 ? [i] : []));
  if (some.length > capacity) {
    for (const i of takeTurns(demands, some, capacity, turn)) given[i] = 1;
    return given;
  }
  let left = capacity;
  for (const i of some) {
    given[i] = Math.max(1, demands[i]?.least ?? 0);
    left -= given[i] ?? 0;
  }
  for (; left > 0; left--) {
    const next = neediest(demands, given);
    if (next === null) break;
    given[next] = (given[next] ?? 0) + 1;
  }
  return given;
}

/** Who has least for its weight and needs more; the first of several. */
function neediest(demands: readonly Demand[], given: readonly number[]): number | null {
  let found: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const [i, { weight, needs }] of demands.entries()) {
    const has = given[i] ?? 0;
    if (has < needs && has / weight < least) {
      found = i;
      least = has / weight;
    }
  }
  return found;
}

/** Smooth weighted round robin, as far as this turn. */
function takeTurns(demands: readonly Demand[], some: readonly number[], capacity: number, turn: number): number[] {
  const sum = some.reduce((n, i) => n + (demands[i]?.weight ?? 0), 0);
  const credit = new Map(some.map((i) => [i, 0]));
  let chosen: number[] = [];
  for (let t = 0; t <= turn % sum; t++) {
    for (const i of some) credit.set(i, (credit.get(i) ?? 0) + (demands[i]?.weight ?? 0));
    chosen = some.toSorted((a, b) => (credit.get(b) ?? 0) - (credit.get(a) ?? 0)).slice(0, capacity);
    for (const i of chosen) credit.set(i, (credit.get(i) ?? 0) - sum / capacity);
  }
  return chosen;
}
