import type { Publisher } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { createOutbox, type Outbox } from '../outbox/index.ts';
import type { Logger } from '../runtime/log.ts';
import { jitter } from '../settle/index.ts';
import { claimDue, extendDue, makeLostDue, markConfirmed, postpone, type Store } from '../store/index.ts';
import { countTogether } from './broker.ts';
import { statementDeadlineMs } from './limits.ts';

export function startOutbox(config: Config, store: Store, publisher: Publisher, log: Logger): Outbox {
  const { publishGraceMs: graceMs, republishAfterMs, lostAfterMs } = config;
  const times = { graceMs, republishAfterMs, deadlineMs: statementDeadlineMs };
  return createOutbox({
    publish: (message, lane) => publisher.publish(message, lane),
    brokerReady: () => publisher.ready,
    claimDue: (limit) => claimDue(store, { ...times, limit }),
    storeMarks: (marks) => markConfirmed(store, marks, times),
    extendDue: (publications) => extendDue(store, publications, times),
    postpone: (publications) => postpone(store, publications, times),
    countQueues: () => countTogether(publisher),
    makeLostDue: (limit) =>
      makeLostDue(store, {
        lostAfterMs,
        furthestRetryMs: config.retryCapMs * (1 + jitter),
        limit,
        deadlineMs: statementDeadlineMs,
      }),
    lostAfterMs,
    graceMs,
    intervalMs: config.relayIntervalMs,
    log,
  });
}
