import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { followProfileRequests, type Profiler } from '../diagnostics/index.ts';
import {
  type Controlled,
  type Controls,
  followControls,
  type Heartbeat,
  startHeartbeat,
  targetOf,
} from '../members/index.ts';
import type { Logger } from '../runtime/log.ts';
import {
  claimProfileRequest,
  joinFleet,
  readAsked,
  readControls,
  type Store,
  sendHeartbeat,
  storeProfile,
} from '../store/index.ts';
import { version } from '../version.ts';
import { statementDeadlineMs } from './limits.ts';

/** Shows this process in `afterword ps`, and has it do what operators ask of it through the database. */
export function startMembership(options: {
  readonly store: Store;
  readonly role: 'api' | 'worker';
  readonly scorer: string | null;
  readonly vitals: Parameters<typeof startHeartbeat>[0]['vitals'];
  readonly profiler: Profiler;
  /** Aborted when the process ends. */
  readonly stop: AbortSignal;
  readonly log: Logger;
  /** A worker follows `afterword pause` and its like. */
  readonly controlled?: { readonly worker: Controlled; readonly concurrency: number; readonly now: Controls };
}): Heartbeat {
  const { store, role, scorer, controlled, log } = options;
  const name = process.env['AFTERWORD_ROLE'] ?? role;
  const member = { memberId: randomUUID(), role, name, host: hostname(), pid: process.pid, version, scorer };
  const { memberId } = member;
  const target = targetOf(member);
  const follow =
    controlled &&
    followControls({
      ...controlled,
      readControls: () => readControls(store, { memberId, target }, statementDeadlineMs),
      log,
    });
  const followProfiles = followProfileRequests({
    claimProfileRequest: () => claimProfileRequest(store, memberId, statementDeadlineMs),
    storeProfile: (requestId, result) => storeProfile(store, { memberId, requestId }, result, statementDeadlineMs),
    profiler: options.profiler,
    stop: options.stop,
    log,
  });
  return startHeartbeat({
    readAsked: (id) => readAsked(store, id, statementDeadlineMs),
    async obey() {
      await follow?.();
      await followProfiles();
    },
    member,
    joinFleet: (member, first) => joinFleet(store, member, first, statementDeadlineMs),
    sendHeartbeat: (id, now) => sendHeartbeat(store, id, now, statementDeadlineMs),
    vitals: options.vitals,
    log,
  });
}

/** What operators want of this worker when it starts: one that is paused should not begin to take deliveries. */
export function controlsAtStart(store: Store): Promise<Controls> {
  const target = targetOf({ name: process.env['AFTERWORD_ROLE'] ?? 'worker', host: hostname() });
  return readControls(store, { memberId: '', target }, statementDeadlineMs);
}
