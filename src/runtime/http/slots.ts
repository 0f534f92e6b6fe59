import type { Response } from 'express';
import type { Gauge } from '../gauge.ts';
import { callerOf } from './caller.ts';
import { Problem } from './problem.ts';

const retryAfterSeconds = 10;

export type Slots = {
  readonly gauge: Gauge;
  /** Takes one until the answer is closed. @throws {Problem} 503 */
  take(response: Response): void;
};

/** Bounds answers that take long. A single key gets at most half of them: it must not keep all others out. */
export function createSlots(name: string, bound: number): Slots {
  const byCaller = new Map<string, number>();
  let open = 0;
  return {
    gauge: { name, bound, held: () => open },
    take(response) {
      const { name: caller, isAnybody } = callerOf(response);
      const own = byCaller.get(caller) ?? 0;
      if (open >= bound || (!isAnybody && own >= Math.ceil(bound / 2)))
        throw new Problem(503, 'overloaded', `too many ${name} are open; try again when one has ended`, {
          retryAfterSeconds,
        });
      // Who has left already would never give it back.
      if (response.destroyed) return;
      open++;
      byCaller.set(caller, own + 1);
      response.once('close', () => {
        open--;
        const left = (byCaller.get(caller) ?? 1) - 1;
        if (left === 0) byCaller.delete(caller);
        else byCaller.set(caller, left);
      });
    },
  };
}

/** Resolves when the client has taken what was written, or has left. */
export function drained(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    if (response.destroyed) return resolve();
    response.on('drain', done);
    response.on('close', done);
  });
}
