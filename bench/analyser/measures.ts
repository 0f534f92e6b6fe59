import type { Emotion } from '../../src/score/friendship/emotion/emotions.ts';

/** What was true, what was said, and whose conversation it was. */
export type Verdict = { readonly id: string; readonly gold: Emotion; readonly said: Emotion };

const labelled: readonly Emotion[] = ['interesting', 'neutral', 'happy', 'angry', 'sad'];

export function accuracy(verdicts: readonly Verdict[]): number {
  return verdicts.filter(({ gold, said }) => gold === said).length / verdicts.length;
}

/** The mean over the five labelled classes, also those that are hardly there: they then count as 0. */
function macroF1(verdicts: readonly Verdict[]): number {
  return labelled.reduce((sum, emotion) => sum + f1(verdicts, emotion), 0) / labelled.length;
}

function f1(verdicts: readonly Verdict[], emotion: Emotion): number {
  const of = (gold: boolean, said: boolean) =>
    verdicts.filter((v) => (v.gold === emotion) === gold && (v.said === emotion) === said).length;
  const right = of(true, true);
  return right === 0 ? 0 : (2 * right) / (2 * right + of(false, true) + of(true, false));
}

function recall(verdicts: readonly Verdict[], emotion: Emotion): number {
  const those = verdicts.filter(({ gold }) => gold === emotion);
  return those.filter(({ said }) => said === emotion).length / those.length;
}

export function majority(verdicts: readonly Verdict[]): Verdict[] {
  return verdicts.map((v) => ({ ...v, said: 'interesting' }));
}

/**
 * The 95 % interval of a measure, by drawing conversations with replacement 1,000 times: the two sides of one are not
 * independent of each other. The draws are the same in every run.
 */
function interval(verdicts: readonly Verdict[], measure: (v: readonly Verdict[]) => number): [number, number] {
  const conversations = [...Map.groupBy(verdicts, ({ id }) => id).values()];
  const random = createRandom(20_261_130);
  const drawn = Array.from({ length: 1_000 }, () =>
    measure(conversations.flatMap(() => conversations[Math.floor(random() * conversations.length)] ?? [])),
  ).sort((a, b) => a - b);
  return [drawn[24] ?? 0, drawn[974] ?? 0];
}

/** Evenly in [0, 1), the same for the same seed. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

export function printMeasures(name: string, verdicts: readonly Verdict[]): void {
  const percent = (value: number) => (100 * value).toFixed(1);
  const [low, high] = interval(verdicts, accuracy);
  const [lowF1, highF1] = interval(verdicts, macroF1);
  console.log(
    `${name}: right ${percent(accuracy(verdicts))} % [${percent(low)}, ${percent(high)}], ` +
      `macro-F1 ${macroF1(verdicts).toFixed(3)} [${lowF1.toFixed(3)}, ${highF1.toFixed(3)}]`,
  );
  for (const emotion of labelled) {
    const those = verdicts.filter(({ gold }) => gold === emotion).length;
    if (those === 0) continue;
    const [from, to] = interval(verdicts, (v) => recall(v, emotion) || 0);
    const said = verdicts.filter((v) => v.said === emotion).length;
    console.log(
      `  ${emotion.padEnd(12)} ${String(those).padStart(5)} there, ${String(said).padStart(5)} found, ` +
        `recall ${percent(recall(verdicts, emotion))} % [${percent(from)}, ${percent(to)}]`,
    );
  }
}
