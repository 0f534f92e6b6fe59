import { codeOf, faultOf, PipelineError } from '../event/fault.ts';
import type { AttemptResult, Settled } from '../event/outcome.ts';
import { createGroupCommit } from '../runtime/group-commit/group-commit.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';
import { applyBatch, type SettlePolicy } from './apply.ts';
import type { InSettleTransaction } from './ports.ts';

type Settler = {
  /**
   * Resolves when the attempt's result is committed. While the database is away the result is held, and the write is
   * retried with growing delays: a requeue would only cause the event to be scored again.
   *
   * @throws {PipelineError} transient, when `giveUp` fires or the result was held for ten minutes: requeue the
   *   delivery.
   */
  settle(attempt: AttemptResult): Promise<Settled>;
};

const maxBatch = 100;
/** Bytes of score details in one batch, well below any server's `max_allowed_packet`. */
const maxBatchBytes = 2 * 1_024 * 1_024;
/** Code of an attempt that could not be settled with its batch. */
const leftOver = 'LEFT_OVER';
/**
 * Two batches: while one waits for its commit, the other runs its statements. Two small batches cost more than they
 * gain (docs/decisions/0013).
 */
const maxBatchesInFlight = 2;
const secondBatchFrom = 20;
/**
 * How long a result may wait for others that are still being scored: a quarter of the time it took itself, so that the
 * wait never delays its event much.
 */
const lingerShare = 0.25;
const lingerMs = (attempt: AttemptResult) => Math.min(100, attempt.runningMs * lingerShare);

export function createSettler(options: {
  readonly inTransaction: InSettleTransaction;
  readonly policy: SettlePolicy;
  /** The most attempts there can be at once: the prefetch. */
  readonly maxQueued: number;
  /** Attempts that are running, from delivery to answer. */
  readonly running: () => number;
  /** Attempts that are waiting for a scoring thread. */
  readonly unscored: () => number;
  readonly giveUp: AbortSignal;
  readonly log: Logger;
}): Settler {
  const settleOnce = (attempts: readonly AttemptResult[], locks: 'wait' | 'nowait') =>
    options.inTransaction((tx) => applyBatch(tx, attempts, options.policy), locks);

  /** @param alone  a single attempt that others no longer wait for: it is retried until the obstacle is gone. */
  async function commit(
    given: readonly AttemptResult[],
    { alone } = { alone: false },
  ): Promise<PromiseSettledResult<Settled>[]> {
    let attempts = given;
    let failures = 0;
    try {
      const settled = await hold(() => settleOnce(attempts, alone ? 'nowait' : 'wait'), {
        // Unknown errors are retried too: the result is valid, and the database's problem may pass or be fixed.
        mayPass: (error) => faultOf(error) !== 'permanent' && (alone || !isOfOne(error, ++failures)),
        giveUp: options.giveUp,
        onWait: (error, waitMs) => {
          options.log.warn(
            { err: error, results: given.length, waitMs },
            'results cannot be written yet; holding them',
          );
          attempts = given.map(again);
        },
      });
      return settled.map((value) => ({ status: 'fulfilled', value }));
    } catch (error) {
      if (faultOf(error) === 'permanent') return isolate(attempts, error);
      if (!alone && !options.giveUp.aborted && isOfOne(error, failures)) return settleEach(attempts, error);
      throw error;
    }
  }

  /**
   * Used when another transaction holds a lock that the batch needs. Settles each attempt separately, without waiting
   * for locks, and leaves those that fail to `settle`, so that the next batch need not wait for them.
   */
  async function settleEach(
    attempts: readonly AttemptResult[],
    cause: unknown,
  ): Promise<PromiseSettledResult<Settled>[]> {
    const results: PromiseSettledResult<Settled>[] = [];
    let isAway = false;
    for (const attempt of attempts) {
      try {
        if (isAway) throw cause;
        const settled = await settleOnce([again(attempt)], 'nowait');
        results.push(...settled.map((value) => ({ status: 'fulfilled', value }) as const));
      } catch (error) {
        isAway ||= codeOf(error) === 'DATABASE_UNAVAILABLE' || codeOf(error) === 'DATABASE_TIMEOUT';
        results.push({
          status: 'rejected',
          reason: new PipelineError('transient', leftOver, 'not settled with its batch', { cause: error }),
        });
      }
    }
    return results;
  }

  /** Used when the database refuses the batch: halves it until the refused attempt is alone and the others pass. */
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
      {
        ...only,
        outcome: { kind: 'failed', permanent: true, code, details: 'the database refuses what the scorer answered' },
      },
    ]);
  }

  const group = createGroupCommit<AttemptResult, Settled>({
    name: 'settle',
    commit,
    batch: { maxItems: maxBatch, weight: { max: maxBatchBytes, of: bytesOf } },
    maxInFlight: maxBatchesInFlight,
    furtherFrom: secondBatchFrom,
    linger: {
      // Only while messages wait for a scoring thread: small commits would then take CPU from the scorers. At other
      // times, holding a result back only delays it.
      expected: () => (options.unscored() > 0 ? options.running() : 0),
      maxMs: lingerMs,
    },
    maxQueued: options.maxQueued,
  });
  return {
    async settle(attempt) {
      try {
        return await group.submit(attempt);
      } catch (error) {
        if (codeOf(error) !== leftOver) throw error;
        const [result] = await commit([again(attempt)], { alone: true });
        if (result?.status === 'fulfilled') return result.value;
        throw result?.reason ?? error;
      }
    },
  };
}

function bytesOf({ outcome }: AttemptResult): number {
  return outcome.kind === 'scored' ? outcome.detailsJson.length : 0;
}

/**
 * The attempt for a retry. The first try may have been committed with only the answer to the COMMIT lost: if the event
 * is FAILED by then, it must be dead-lettered, not taken for a duplicate.
 */
function again(attempt: AttemptResult): AttemptResult {
  return { ...attempt, redelivered: true };
}

/**
 * Whether the cause may be one row of the batch rather than the database: assumed at once for a held lock, otherwise
 * after repeated failures.
 */
function isOfOne(error: unknown, failures: number): boolean {
  const code = codeOf(error);
  return code === 'DATABASE_LOCKED' || (failures >= 2 && code !== 'DATABASE_UNAVAILABLE');
}
