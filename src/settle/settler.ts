import { faultOf, PipelineError } from '../event/fault.ts';
import type { AttemptResult, Settled } from '../event/outcome.ts';
import type { SettleTransaction } from '../event/settlement.ts';
import { createGroupCommit } from '../runtime/group-commit.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';
import { applyBatch, type SettlePolicy } from './apply.ts';

/** Runs work in one database transaction; commits when it resolves. */
export type InSettleTransaction = <T>(work: (tx: SettleTransaction) => Promise<T>) => Promise<T>;

export type Settler = {
  /**
   * Resolves when the attempt's result is committed. While the database is away the result is held and written again with
   * growing delays: the score is made, and a requeue would only have it made again.
   *
   * @throws {PipelineError} transient, when `giveUp` fires or the result was held for ten minutes: requeue the delivery.
   */
  settle(attempt: AttemptResult): Promise<Settled>;
};

const maxBatch = 100;
/** Two batches: while one waits for its commit the other runs its statements. Two small ones cost more than they gain (docs/decisions/0013). */
const maxBatchesInFlight = 2;
const secondBatchFrom = 20;
/**
 * How long a result may wait for others that are still being scored: a quarter of the time it took to come, so that its event is never
 * much later for it.
 */
const lingerShare = 0.25;
const lingerMs = (attempt: AttemptResult) => Math.min(100, attempt.runningMs * lingerShare);

export function createSettler(options: {
  readonly inTransaction: InSettleTransaction;
  readonly policy: SettlePolicy;
  /** Most attempts at once: the prefetch. */
  readonly maxQueued: number;
  /** Attempts that run now, from delivery to answer. */
  readonly running: () => number;
  /** Attempts that wait for a scoring thread. */
  readonly unscored: () => number;
  readonly giveUp: AbortSignal;
  readonly log: Logger;
}): Settler {
  async function commit(given: readonly AttemptResult[]): Promise<PromiseSettledResult<Settled>[]> {
    let attempts = given;
    const settleOnce = () => options.inTransaction((tx) => applyBatch(tx, attempts, options.policy));
    try {
      const settled = await hold(settleOnce, {
        // Unknown errors too: the result is good, and what the database is unhappy with may pass or be mended.
        mayPass: (error) => faultOf(error) !== 'permanent',
        giveUp: options.giveUp,
        onWait: (error, waitMs) => {
          options.log.warn({ err: error, results: given.length, waitMs }, 'results cannot be written yet; holding them');
          // Only the answer to the COMMIT may have been lost. What is FAILED then must be dead-lettered, not taken for a duplicate.
          attempts = given.map((attempt) => ({ ...attempt, redelivered: true }));
        },
      });
      return settled.map((value) => ({ status: 'fulfilled', value }));
    } catch (error) {
      if (faultOf(error) === 'permanent') return isolate(attempts, error);
      throw error;
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
    furtherFrom: secondBatchFrom,
    // Gather only while messages wait for a thread: small commits would then take CPU from the scorers. At other times, holding a result back
    // only delays it.
    expected: () => (options.unscored() > 0 ? options.running() : 0),
    lingerMs,
    maxQueued: options.maxQueued,
  });
  return { settle: (attempt) => group.submit(attempt) };
}
