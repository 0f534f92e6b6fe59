import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { RemoteError } from '../runtime/remote/remote.ts';
import { pause } from '../runtime/wait.ts';

type Budget = {
  /**
   * Takes an estimate of tokens; waits for the next minute if this one has none left, and that is at most `withinMs`
   * away.
   * An estimate above the whole budget counts as all of it.
   *
   * @returns a function to be told what the call has really cost. @throws {RemoteError} busy.
   */
  take(estimated: number, withinMs: number): Promise<(tokens: number) => Promise<void>>;
};

const key = 'tokens';
const daySeconds = 86_400;

/** Limits what a process spends; 0: no limit. */
export function createBudget({ perMinute, perDay }: { readonly perMinute: number; readonly perDay: number }): Budget {
  const limiters = [
    ...(perMinute > 0 ? [new RateLimiterMemory({ points: perMinute, duration: 60 })] : []),
    ...(perDay > 0 ? [new RateLimiterMemory({ points: perDay, duration: daySeconds })] : []),
  ];

  /** @returns milliseconds until there are tokens again; 0: they were taken. */
  async function tryTake(tokens: number): Promise<number> {
    const taken: RateLimiterMemory[] = [];
    for (const limiter of limiters) {
      try {
        await limiter.consume(key, Math.min(tokens, limiter.points));
        taken.push(limiter);
      } catch (refused) {
        // Refused points count all the same, and so would lock out everybody.
        for (const one of [...taken, limiter]) await one.reward(key, Math.min(tokens, one.points));
        if (!(refused instanceof RateLimiterRes)) throw refused;
        return Math.max(1, refused.msBeforeNext);
      }
    }
    return 0;
  }

  async function correct(tokens: number, estimated: number): Promise<void> {
    for (const limiter of limiters) {
      const difference = tokens - Math.min(estimated, limiter.points);
      if (difference > 0) await limiter.penalty(key, difference);
      else if (difference < 0) await limiter.reward(key, -difference);
    }
  }

  return {
    async take(estimated, withinMs) {
      const giveUpAt = performance.now() + withinMs;
      for (;;) {
        const waitMs = await tryTake(estimated);
        if (waitMs === 0) return (tokens) => correct(tokens, estimated);
        if (performance.now() + waitMs > giveUpAt)
          throw new RemoteError('busy', 'the budget of tokens is used up for now');
        await pause(waitMs, new AbortController().signal);
      }
    },
  };
}
