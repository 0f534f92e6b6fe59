/** Rows of a sparse matrix: `at[start[r] .. start[r + 1]]` are the columns of row r, `value` what is there. */
export type Rows = { readonly start: Int32Array; readonly at: Int32Array; readonly value: Float64Array };

/**
 * Fits a multinomial logistic regression: the mean loss, in which an example counts as its class's weight says, plus
 * `ridge` / 2 · |W|². Nesterov's accelerated gradient, restarted when it overshoots, with a fixed step and a fixed
 * number of steps, so that the same data give the same weights to the last bit.
 *
 * @param labels  the class of each row.
 * @returns one row of `classes` weights for each column.
 */
export function fitSoftmax(
  rows: Rows,
  labels: readonly number[],
  options: {
    readonly columns: number;
    readonly classWeights: readonly number[];
    readonly ridge: number;
    steps: number;
  },
): Float64Array {
  const { columns, classWeights, ridge, steps } = options;
  const k = classWeights.length;
  const n = labels.length;
  const rate = 1 / (0.5 * Math.max(...classWeights) * widest(rows) + ridge);
  let weights = new Float64Array(columns * k);
  let ahead = Float64Array.from(weights);
  let momentum = 1;
  const gradient = new Float64Array(columns * k);
  const scores = new Float64Array(k);
  for (let step = 0; step < steps; step++) {
    for (let j = 0; j < gradient.length; j++) gradient[j] = ridge * at(ahead, j);
    for (let r = 0; r < n; r++) {
      const label = labels[r] ?? 0;
      score(rows, r, ahead, scores);
      softmax(scores);
      const factor = (classWeights[label] ?? 1) / n;
      for (let i = rows.start[r] ?? 0; i < (rows.start[r + 1] ?? 0); i++) {
        const base = (rows.at[i] ?? 0) * k;
        for (let c = 0; c < k; c++) {
          const error = at(scores, c) - (c === label ? 1 : 0);
          gradient[base + c] = at(gradient, base + c) + factor * at(rows.value, i) * error;
        }
      }
    }
    const next = new Float64Array(weights.length);
    let uphill = 0;
    for (let j = 0; j < next.length; j++) {
      next[j] = at(ahead, j) - rate * at(gradient, j);
      uphill += at(gradient, j) * (at(next, j) - at(weights, j));
    }
    const following = uphill > 0 ? 1 : (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const push = uphill > 0 ? 0 : (momentum - 1) / following;
    ahead = next.map((value, j) => value + push * (value - at(weights, j)));
    weights = next;
    momentum = following;
  }
  return weights;
}

/** Adds up what the columns of a row say for each class. */
function score(rows: Rows, r: number, weights: Float64Array, scores: Float64Array): void {
  const k = scores.length;
  scores.fill(0);
  for (let i = rows.start[r] ?? 0; i < (rows.start[r + 1] ?? 0); i++) {
    const base = (rows.at[i] ?? 0) * k;
    for (let c = 0; c < k; c++) scores[c] = at(scores, c) + at(rows.value, i) * at(weights, base + c);
  }
}

function softmax(scores: Float64Array): void {
  const highest = Math.max(...scores);
  let sum = 0;
  for (let c = 0; c < scores.length; c++) sum += scores[c] = Math.exp(at(scores, c) - highest);
  for (let c = 0; c < scores.length; c++) scores[c] = at(scores, c) / sum;
}

function widest(rows: Rows): number {
  let most = 0;
  for (let r = 0; r + 1 < rows.start.length; r++) {
    let squares = 0;
    for (let i = rows.start[r] ?? 0; i < (rows.start[r + 1] ?? 0); i++) squares += at(rows.value, i) ** 2;
    most = Math.max(most, squares);
  }
  return most;
}

function at(values: Float64Array, i: number): number {
  return values[i] as number;
}
