import pLimit from 'p-limit';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { RemoteError } from '../runtime/remote/remote.ts';
import { pause } from '../runtime/wait.ts';

type Budget = {
  /**
   * Takes an estimate of tokens; waits for the next minute if this one has none left, and that is at most `withinMs`
   * away. An estimate above the whole budget counts as all of it.
   *
   * @returns a function to be told what the call has really cost. @throws {RemoteError} busy.
   */
  take(estimated: number, withinMs: number): Promise<(tokens: number) => Promise<void>>;
};

type Taken = {
  readonly limiter: RateLimiterMemory;
  readonly points: number;
  /** When its window ends, as `performance.now()` counts. */
  readonly endsAt: number;
};

const key = 'tokens';
const daySeconds = 86_400;

/** Limits what a process spends; 0: no limit. */
export function createBudget({ perMinute, perDay }: { readonly perMinute: number; readonly perDay: number }): Budget {
  const limiters = [
    ...(perMinute > 0 ? [new RateLimiterMemory({ points: perMinute, duration: 60 })] : []),
    ...(perDay > 0 ? [new RateLimiterMemory({ points: perDay, duration: daySeconds })] : []),
  ];

  /** One at a time: what is refused counts until it is given back. */
  const inTurn = pLimit(1);

  /** @returns milliseconds until there are tokens again, or what was taken. */
  async function tryTake(tokens: number): Promise<number | Taken[]> {
    const taken: Taken[] = [];
    for (const limiter of limiters) {
      try {
        const points = Math.min(tokens, limiter.points);
        const { msBeforeNext } = await limiter.consume(key, points);
        taken.push({ limiter, points, endsAt: performance.now() + msBeforeNext });
      } catch (refused) {
        // Refused points count all the same, and so would lock out everybody.
        await limiter.reward(key, Math.min(tokens, limiter.points));
        for (const one of taken) await one.limiter.reward(key, one.points);
        if (!(refused instanceof RateLimiterRes)) throw refused;
        return Math.max(1, refused.msBeforeNext);
      }
    }
    return taken;
  }

  async function correct(tokens: number, taken: readonly Taken[]): Promise<void> {
    for (const { limiter, points, endsAt } of taken) {
      const difference = tokens - points;
      if (difference > 0) await limiter.penalty(key, difference);
      // After its end, it would be a gift to the next window.
      else if (difference < 0 && performance.now() < endsAt) await limiter.reward(key, -difference);
    }
  }

  return {
    async take(estimated, withinMs) {
      const giveUpAt = performance.now() + withinMs;
      for (;;) {
        const waitMs = await inTurn(() => tryTake(estimated));
        if (typeof waitMs !== 'number') return (tokens) => correct(tokens, waitMs);
        if (performance.now() + waitMs > giveUpAt)
          throw new RemoteError('busy', 'the budget of tokens is used up for now');
        await pause(waitMs, new AbortController().signal);
      }
    },
  };
}
