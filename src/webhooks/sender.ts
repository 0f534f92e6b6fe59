import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { pause, settlesWithin } from '../runtime/wait.ts';
import { mostEndpoints } from './endpoints.ts';
import { judgeAttempt } from './judge.ts';
import { bodyOf, messageId } from './message.ts';
import type { ClaimDeliveries, ClaimedDelivery, DueEndpoint, FindDue, RecordAttempt, ReturnDelivery } from './ports.ts';
import type { Send } from './send.ts';

/** To one endpoint at the same time, by this process. */
const perEndpoint = 5;
/** To one that fails: it must not take what others could use. */
const perFailing = 1;
/** Enough for every endpoint: slow ones must not take the places of others. */
const mostAtOnce = perEndpoint * mostEndpoints;
const lookMs = 1_000;
/** One that fails again is left alone for so long, however much is due to it. */
const restMs = 1_000;

export type Sender = { readonly gauge: Gauge; close(withinMs: number): Promise<void> };

/**
 * Makes deliveries that are due, until it is closed. Each endpoint has its own few at a time, so that one that is dead
 * or slow delays nobody. Several processes share the work: what one has claimed the others leave alone for a minute.
 */
export function startSender(options: {
  readonly findDue: FindDue;
  readonly claim: ClaimDeliveries;
  readonly record: RecordAttempt;
  readonly giveBack: ReturnDelivery;
  readonly send: Send;
  readonly log: Logger;
}): Sender {
  const { log } = options;
  const inFlight = new Map<string, number>();
  /** Until when, of `performance.now()`, an endpoint that failed is left alone. */
  const resting = new Map<string, number>();
  let total = 0;
  const stop = new AbortController();
  const making = new Set<Promise<void>>();

  /** Some endpoint has more due than it had room for: worth a look as soon as there is room. */
  let isMore = false;
  let room = Promise.withResolvers<void>();

  async function look(): Promise<void> {
    isMore = false;
    const now = performance.now();
    for (const [endpointId, until] of resting) if (until <= now) resting.delete(endpointId);
    for (const endpoint of await options.findDue()) {
      if (stop.signal.aborted) return;
      const { endpointId } = endpoint;
      // One whose deliveries cannot be claimed must not keep the others from theirs.
      await claimFor(endpoint).catch((error: unknown) =>
        log.warn({ err: error, endpoint: endpointId }, 'webhooks of an endpoint cannot be claimed'),
      );
    }
  }

  async function claimFor(endpoint: DueEndpoint): Promise<void> {
    if (resting.has(endpoint.endpointId)) return;
    const most = endpoint.failingSince === null ? perEndpoint : perFailing;
    const free = Math.min(most - (inFlight.get(endpoint.endpointId) ?? 0), mostAtOnce - total);
    const claimed = free <= 0 ? [] : await options.claim(endpoint.endpointId, free);
    isMore ||= claimed.length >= free;
    for (const delivery of claimed) begin(endpoint, delivery);
  }

  function begin(endpoint: DueEndpoint, delivery: ClaimedDelivery): void {
    const { endpointId } = endpoint;
    inFlight.set(endpointId, (inFlight.get(endpointId) ?? 0) + 1);
    total++;
    const made = make(endpoint, delivery)
      // The lease ends, and somebody makes it again.
      .catch((error: unknown) => log.warn({ err: error, endpoint: endpointId }, 'a webhook could not be recorded'))
      .finally(() => {
        const left = (inFlight.get(endpointId) ?? 1) - 1;
        if (left === 0) inFlight.delete(endpointId);
        else inFlight.set(endpointId, left);
        total--;
        making.delete(made);
        room.resolve();
      });
    making.add(made);
  }

  async function make(endpoint: DueEndpoint, delivery: ClaimedDelivery): Promise<void> {
    const { endpointId, failingSince } = endpoint;
    const at = new Date();
    if (delivery.event === null) {
      const attempt = { at: at.toISOString(), ms: 0, status: null, error: 'the conversation was erased' };
      return options.record(endpoint, delivery, attempt, { kind: 'erased' });
    }
    const message = { id: messageId(delivery.deliveryId), body: bodyOf(delivery) };
    const { retryAfterMs, ...outcome } = await options.send(endpoint, message);
    // Cut off by our own end: another process makes it.
    if (stop.signal.aborted && outcome.status === null) return options.giveBack(delivery);
    const failingMs = failingSince === null ? 0 : at.getTime() - failingSince.getTime();
    const verdict = judgeAttempt({ ...outcome, retryAfterMs }, delivery.attemptCount, failingMs);
    telemetry.webhookSent.tell({ verdict: verdict.kind, ms: outcome.ms });
    if (verdict.kind !== 'delivered' && failingSince !== null) resting.set(endpointId, performance.now() + restMs);
    if (verdict.kind === 'disable')
      log.warn({ endpoint: endpointId, why: verdict.why }, 'a webhook endpoint is disabled');
    await options.record(endpoint, delivery, { at: at.toISOString(), ...outcome }, verdict);
  }

  const running = (async () => {
    while (!stop.signal.aborted) {
      room = Promise.withResolvers();
      await look().catch((error: unknown) => log.debug({ err: error }, 'webhooks that are due cannot be read'));
      // With some randomness, so that processes started together do not look together.
      const waited = pause(lookMs * (0.5 + Math.random()), stop.signal);
      await (isMore ? Promise.race([waited, room.promise]) : waited);
    }
  })();

  return {
    gauge: { name: 'webhooks', bound: mostAtOnce, held: () => total },
    async close(withinMs) {
      stop.abort();
      await settlesWithin(
        running.then(() => Promise.all(making)),
        withinMs,
      );
    },
  };
}
