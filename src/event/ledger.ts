/**
 * What a user's removed events came to, so that the sum of what is left still explains the score. Scores are whole
 * ten-thousandths of a point. One line for the user, and one for each topic.
 */
export type LedgerLine = {
  readonly events: number;
  readonly change: number;
  /** Of the changes above zero. */
  readonly gains: number;
  /** The score of somebody who had only these events: it never fell below zero. */
  readonly score: number;
  /** Events were removed in the order in which they were processed: `score` is exact although changes are negative. */
  readonly inOrder: boolean;
  /** Null if a custom scorer scored any of them. */
  readonly turns: number | null;
  readonly lastEnd: Date;
  readonly lastProcessedAt: Date;
};

export type RemovedEvent = {
  readonly change: number;
  readonly turns: number | null;
  readonly endTime: Date;
  readonly processedAt: Date;
};

/** @param removed  at least one. */
export function addToLedger(before: LedgerLine | null, removed: readonly RemovedEvent[]): LedgerLine {
  const inTime = removed.toSorted((a, b) => a.processedAt.getTime() - b.processedAt.getTime());
  let line: LedgerLine = before ?? {
    ...{ events: 0, change: 0, gains: 0, score: 0, inOrder: true, turns: 0 },
    lastEnd: new Date(0),
    lastProcessedAt: new Date(0),
  };
  for (const { change, turns, endTime, processedAt } of inTime) {
    line = {
      events: line.events + 1,
      change: line.change + change,
      gains: line.gains + Math.max(0, change),
      score: Math.max(0, line.score + change),
      // What was committed together has no order.
      inOrder: line.inOrder && processedAt > line.lastProcessedAt,
      turns: line.turns === null || turns === null ? null : line.turns + turns,
      lastEnd: later(line.lastEnd, endTime),
      lastProcessedAt: later(line.lastProcessedAt, processedAt),
    };
  }
  return line;
}

/** The least and the most that the score of a line can be. */
export function boundsOf({ change, gains, score, inOrder }: LedgerLine): { low: number; high: number } {
  if (change === gains) return { low: change, high: change };
  return inOrder ? { low: score, high: score } : { low: Math.max(0, change), high: gains };
}

function later(a: Date, b: Date): Date {
  return a > b ? a : b;
}
