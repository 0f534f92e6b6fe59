/** One step from the first list to the second: what was said there, and what instead. */
export type Step<T> =
  | { readonly op: 'same' | 'substituted'; readonly first: T; readonly second: T }
  | { readonly op: 'dropped'; readonly first: T; readonly second: null }
  | { readonly op: 'inserted'; readonly first: null; readonly second: T };

/**
 * The cheapest way from one list to another (Levenshtein, by Wagner and Fischer). Dropping and inserting cost 1.
 * Time and memory grow with the product of the two lengths.
 *
 * @param substitution  at most 1; 0 only for the same.
 */
export function align<T>(
  first: readonly T[],
  second: readonly T[],
  substitution: (a: T, b: T) => number,
): { readonly distance: number; readonly steps: readonly Step<T>[] } {
  const width = second.length + 1;
  const costs = new Float32Array((first.length + 1) * width);
  const cost = (i: number, j: number) => costs[i * width + j] as number;
  for (let j = 0; j < width; j++) costs[j] = j;
  for (let i = 1; i <= first.length; i++) {
    costs[i * width] = i;
    for (let j = 1; j < width; j++) {
      const instead = cost(i - 1, j - 1) + substitution(first[i - 1] as T, second[j - 1] as T);
      costs[i * width + j] = Math.min(instead, cost(i - 1, j) + 1, cost(i, j - 1) + 1);
    }
  }
  return { distance: cost(first.length, second.length), steps: trace(first, second, substitution, cost) };
}

/** Back from the end; where several ways cost the same, a substitution comes first. */
function trace<T>(
  first: readonly T[],
  second: readonly T[],
  substitution: (a: T, b: T) => number,
  cost: (i: number, j: number) => number,
): Step<T>[] {
  const steps: Step<T>[] = [];
  let i = first.length;
  let j = second.length;
  while (i > 0 || j > 0) {
    const [a, b] = [first[i - 1] as T, second[j - 1] as T];
    if (i > 0 && j > 0) {
      const price = substitution(a, b);
      if (cost(i, j) === cost(i - 1, j - 1) + price) {
        steps.push({ op: price === 0 ? 'same' : 'substituted', first: a, second: b });
        i--;
        j--;
        continue;
      }
    }
    if (i > 0 && cost(i, j) === cost(i - 1, j) + 1) {
      steps.push({ op: 'dropped', first: a, second: null });
      i--;
    } else {
      steps.push({ op: 'inserted', first: null, second: b });
      j--;
    }
  }
  return steps.reverse();
}
