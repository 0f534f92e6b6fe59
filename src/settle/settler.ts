import { faultOf, PipelineError } from '../event/fault.ts';
import type { AttemptResult, Settled } from '../event/outcome.ts';
import type { SettleTransaction } from '../event/settlement.ts';
import { createGroupCommit } from '../runtime/group-commit.ts';
import type { Logger } from '../runtime/log.ts';
import { createBackoff, pause } from '../runtime/wait.ts';
import { applyBatch, type SettlePolicy } from './apply.ts';

/** Runs work in one database transaction; commits when it resolves. */
export type InSettleTransaction = <T>(work: (tx: SettleTransaction) => Promise<T>) => Promise<T>;

export type Settler = {
  /**
   * Resolves when the attempt's result is committed. While the database is away the result is held and written again with
   * growing delays: the score is made, and a requeue would only have it made again.
   *
   * @throws {PipelineError} transient, when `giveUp` fires or the result was held for `holdMs`: requeue the delivery.
   */
  settle(attempt: AttemptResult): Promise<Settled>;
};

const maxBatch = 100;
/** Two batches: while one waits for its commit the other runs its statements. */
const maxBatchesInFlight = 2;

/**
 * Well below the broker's consumer timeout (30 min by default), after which it would close the channel with everything on it.
 */
const defaultHoldMs = 10 * 60_000;

export function createSettler(options: {
  readonly inTransaction: InSettleTransaction;
  readonly policy: SettlePolicy;
  /** Most attempts at once: the prefetch. */
  readonly maxQueued: number;
  readonly giveUp: AbortSignal;
  readonly holdMs?: number;
  readonly log: Logger;
}): Settler {
  const holdMs = options.holdMs ?? defaultHoldMs;

  const settleOnce = (attempts: readonly AttemptResult[]) => options.inTransaction((tx) => applyBatch(tx, attempts, options.policy));

  async function commit(given: readonly AttemptResult[]): Promise<PromiseSettledResult<Settled>[]> {
    let attempts = given;
    const until = performance.now() + holdMs;
    const backoff = createBackoff(100, 5_000);
    for (;;) {
      try {
        const settled = await settleOnce(attempts);
        return settled.map((value) => ({ status: 'fulfilled', value }));
      } catch (error) {
        if (faultOf(error) === 'permanent') return isolate(attempts, error);
        // Unknown errors too: the result is good, and what the database is unhappy with may pass or be mended.
        if (options.giveUp.aborted || performance.now() > until) throw error;
        const waitMs = backoff.next();
        options.log.warn({ err: error, results: attempts.length, waitMs }, 'results cannot be written yet; holding them');
        await pause(waitMs, options.giveUp);
        // Only the answer to the COMMIT may have been lost. What is FAILED then must be dead-lettered, not taken for a duplicate.
        attempts = given.map((attempt) => ({ ...attempt, redelivered: true }));
      }
    }
  }

  /** Something in the batch is refused: each attempt by itself, so that one cannot fail the others. */
  async function isolate(attempts: readonly AttemptResult[], cause: unknown): Promise<PromiseSettledResult<Settled>[]> {
    const [only] = attempts;
    if (attempts.length > 1) {
      const middle = attempts.length >> 1;
      return [...(await commit(attempts.slice(0, middle))), ...(await commit(attempts.slice(middle)))];
    }
    if (only === undefined) return [];
    if (only.outcome.kind === 'failed') return [{ status: 'rejected', reason: cause }];
    options.log.error({ err: cause, event_id: only.eventId }, 'the database refuses the result; failing the event');
    const code = cause instanceof PipelineError ? cause.code : 'RESULT_REFUSED';
    return commit([
      { ...only, outcome: { kind: 'failed', permanent: true, code, details: 'the database refuses what the scorer answered' } },
    ]);
  }

  const group = createGroupCommit<AttemptResult, Settled>({
    commit,
    maxItems: maxBatch,
    maxInFlight: maxBatchesInFlight,
    maxQueued: options.maxQueued,
  });
  return { settle: (attempt) => group.submit(attempt) };
}
