import { type Figure, figure } from './stats.ts';

/** One thing to measure: a round gives one or more values by unit. */
export type Subject = { readonly name: string; readonly round: () => Promise<Readonly<Record<string, number>>> };

/** A row of the results table. */
export type Row = {
  readonly measure: string;
  readonly subject: string;
  readonly unit: string;
  readonly figure: Figure;
};

/** All subjects in turn, `n` times. */
export async function rounds(
  measure: string,
  subjects: readonly Subject[],
  n: number,
  say: (line: string) => void,
): Promise<Row[]> {
  const values = new Map<string, Map<string, number[]>>();
  for (let round = 1; round <= n; round++) {
    for (const { name, round: once } of subjects) {
      const result = await once();
      say(
        `${measure}: round ${round}, ${name}: ${Object.entries(result)
          .map(([unit, value]) => `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`)
          .join(', ')}`,
      );
      const own = values.get(name) ?? new Map<string, number[]>();
      values.set(name, own);
      for (const [unit, value] of Object.entries(result)) own.set(unit, [...(own.get(unit) ?? []), value]);
    }
  }
  return [...values].flatMap(([subject, units]) =>
    [...units].map(([unit, list]) => ({ measure, subject, unit, figure: figure(list) })),
  );
}
