import type { Config } from '../config.ts';
import { presentEvent } from '../report/index.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import {
  claimDeliveries,
  endpointStore,
  findDueEndpoints,
  recordAttempt,
  returnDelivery,
  type Store,
} from '../store/index.ts';
import { version } from '../version.ts';
import { createEndpoints, createSend, type Endpoints, startSender } from '../webhooks/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';

const closeMs = 2_000;

export type Webhooks = { readonly endpoints: Endpoints; readonly gauge: Gauge; close(): Promise<void> };

/** Endpoints, and the sender of what is due to them. */
export function startWebhooks(config: Config, store: Store, log: Logger): Webhooks {
  const { send, close } = createSend(config.webhookAllow, version);
  const sender = startSender({
    findDue: () => findDueEndpoints(store, deadlineMs),
    claim: (endpointId, limit) =>
      claimDeliveries(store, endpointId, { limit, deadlineMs, present: (row) => presentEvent(row) }),
    record: (endpoint, delivery, attempt, verdict) =>
      recordAttempt(store, endpoint, delivery, attempt, { verdict, deadlineMs }),
    giveBack: (delivery) => returnDelivery(store, delivery, deadlineMs),
    send,
    log,
  });
  return {
    endpoints: createEndpoints({ store: endpointStore(store, deadlineMs), send, allowed: config.webhookAllow }),
    gauge: sender.gauge,
    async close() {
      await sender.close(closeMs);
      await close();
    },
  };
}

/** For a command: no sender runs. */
export function openEndpoints(config: Config, store: Store): { readonly endpoints: Endpoints; close(): Promise<void> } {
  const { send, close } = createSend(config.webhookAllow, version);
  return {
    endpoints: createEndpoints({ store: endpointStore(store, deadlineMs), send, allowed: config.webhookAllow }),
    close,
  };
}
