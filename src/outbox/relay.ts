import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';
import type { ClaimDue, ClaimedEvent, Postpone } from './ports.ts';
import type { Publications } from './publications.ts';

const claimLimit = 200;

/**
 * Publishes due events: those whose fast path failed, whose retry is due, or that the broker may have lost. Runs in
 * every process; claims never overlap. Claims nothing while the broker is away, and waits longer after each failure.
 *
 * A backlog that takes longer than `REPUBLISH_AFTER_MS` is not published twice: an event that is probably in the queue
 * is postponed by another term. If it is not there, `findLost` notices that once the queue is empty.
 */
export async function runRelay(options: {
  readonly publications: Publications;
  readonly brokerReady: () => boolean;
  readonly claimDue: ClaimDue;
  readonly postpone: Postpone;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}): Promise<void> {
  const { log, stop } = options;
  const backoff = createBackoff(options.intervalMs, 30_000);
  while (!stop.aborted) {
    // ±50 %, so that processes started together do not query together.
    let waitMs = options.intervalMs * (0.5 + Math.random());
    if (options.brokerReady()) {
      try {
        const { events, dueAt } = await options.claimDue(claimLimit);
        const missing = await leaveQueued(events, dueAt);
        if (events.length > 0)
          telemetry.claimed.tell({ events: events.length, postponed: events.length - missing.length });
        const failed = await publish(missing, dueAt);
        if (failed > 0) {
          waitMs = backoff.next();
          log.warn({ failed, waitMs }, 'relay: the broker did not take every event; they stay due');
        } else {
          backoff.reset();
          if (missing.length > 0) log.info({ events: missing.length }, 'relay: published due events');
          if (events.length === claimLimit) waitMs = 0;
        }
      } catch (error) {
        waitMs = backoff.next();
        log.warn({ err: error, waitMs }, 'relay: cannot claim due events');
      }
    }
    await pause(waitMs, stop);
  }

  /** Postpones events that are probably queued. @returns the others, to be published. */
  async function leaveQueued(events: readonly ClaimedEvent[], dueAt: Date): Promise<readonly ClaimedEvent[]> {
    const queued = events.filter((event) => event.maybeQueued);
    if (queued.length === 0) return events;
    await options.postpone(queued.map(({ eventId, attemptCount }) => ({ eventId, attemptCount, dueAt })));
    log.debug({ events: queued.length }, 'relay: published long ago and not settled yet; left alone for another term');
    return events.filter((event) => !event.maybeQueued);
  }

  /** @returns how many were not confirmed within the grace. */
  async function publish(events: readonly ClaimedEvent[], dueAt: Date): Promise<number> {
    let confirmed = 0;
    const publishing = events.map(async (event) => {
      await options.publications.publish(event, { dueAt, attemptCount: event.attemptCount });
      confirmed++;
    });
    await settlesWithin(Promise.allSettled(publishing), options.graceMs);
    return events.length - confirmed;
  }
}
