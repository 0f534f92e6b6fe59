import type { Emotion } from './emotions.ts';
import { countNgrams, engagement, isMark, signalCount, weightOf } from './features.ts';

/**
 * A multinomial logistic regression as its training writes it. Arrays are base64 of little-endian integers; those of
 * weights are in rows of one number a class.
 */
export type Weights = {
  readonly about: Readonly<Record<string, string | number>>;
  readonly classes: readonly string[];
  /** Texts that it was trained on. */
  readonly documents: number;
  /** Tokens, and pairs of them, sorted; one a line. */
  readonly ngrams: string;
  /** For each n-gram, how many texts have it: unsigned, 16 bits. */
  readonly documentsWithIt: string;
  /** Signed, 16 bits, in units of `unit`. */
  readonly ngramWeights: string;
  readonly unit: number;
  readonly signals: readonly { readonly mean: number; readonly scale: number; readonly weights: readonly number[] }[];
  readonly intercepts: readonly number[];
};

export type Judgement = {
  readonly emotion: Emotion;
  /** The model's probability of it. */
  readonly confidence: number;
  /** What the heaviest words and pairs added to it, in descending order; never the words. */
  readonly weights: readonly number[];
};

export type EmotionModel = {
  /** @returns null if most of what was said is unknown to it: another language, or too little. */
  judge(texts: readonly (readonly string[])[]): Judgement | null;
};

/** Fewer words than in three short answers say nothing that the rules do not know. */
const fewestWords = 12;
/** In English conversations that it has never seen, nine of ten words and more are known; in Vietnamese hardly any. */
const leastKnown = 0.6;
const weightsShown = 5;

/** @throws {TypeError} if the weights do not fit together. */
export function createModel(weights: Weights): EmotionModel {
  const { documents, unit, signals, intercepts } = weights;
  const classes = weights.classes as readonly Emotion[];
  const ngrams = weights.ngrams.split('\n');
  const indexOf = new Map(ngrams.map((ngram, i) => [ngram, i]));
  const spread = new Uint16Array(bytesOf(weights.documentsWithIt));
  const matrix = new Int16Array(bytesOf(weights.ngramWeights));
  const n = classes.length;
  const fits = spread.length === ngrams.length && matrix.length === n * ngrams.length;
  if (!fits || intercepts.length !== n || signals.length !== signalCount)
    throw new TypeError('the weights of the emotion model do not fit together');

  /** The n-grams that it knows, and their weights in this text, which together have length 1. */
  function embed(texts: readonly (readonly string[])[]): { at: number; value: number }[] {
    const found: { at: number; value: number }[] = [];
    let squares = 0;
    for (const [ngram, count] of countNgrams(texts)) {
      const at = indexOf.get(ngram);
      if (at === undefined) continue;
      const value = weightOf(count, documents, spread[at] ?? 0);
      squares += value * value;
      found.push({ at, value });
    }
    const length = Math.sqrt(squares) || 1;
    return found.map(({ at, value }) => ({ at, value: value / length }));
  }

  function isKnown(texts: readonly (readonly string[])[]): boolean {
    const said = texts.flat().filter((token) => !isMark(token));
    const known = said.filter((token) => indexOf.has(token)).length;
    return said.length >= fewestWords && known >= leastKnown * said.length;
  }

  return {
    judge(texts) {
      if (!isKnown(texts)) return null;
      const found = embed(texts);
      const weight = (at: number, of: number) => (matrix[at * n + of] ?? 0) * unit;
      const scores = Float64Array.from(intercepts);
      for (const { at, value } of found)
        for (let c = 0; c < n; c++) scores[c] = (scores[c] ?? 0) + value * weight(at, c);
      for (const [i, value] of engagement(texts).entries()) {
        const signal = signals[i];
        for (let c = 0; signal !== undefined && c < n; c++)
          scores[c] = (scores[c] ?? 0) + (value - signal.mean) * signal.scale * (signal.weights[c] ?? 0);
      }
      const highest = Math.max(...scores);
      const best = scores.indexOf(highest);
      const sum = scores.reduce((all, score) => all + Math.exp(score - highest), 0);
      const added = Float64Array.from(found, ({ at, value }) => value * weight(at, best)).sort();
      return {
        emotion: classes[best] ?? 'neutral',
        confidence: round(1 / sum),
        weights: Array.from(added.slice(-weightsShown).reverse(), round),
      };
    },
  };
}

function bytesOf(base64: string): ArrayBuffer {
  return new Uint8Array(Buffer.from(base64, 'base64')).buffer;
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
