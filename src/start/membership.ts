import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import {
  type Controlled,
  type Controls,
  followControls,
  type Heartbeat,
  startHeartbeat,
  targetOf,
} from '../members/index.ts';
import type { Logger } from '../runtime/log.ts';
import { joinFleet, readControls, type Store, sendHeartbeat } from '../store/index.ts';
import { version } from '../version.ts';
import { statementDeadlineMs } from './limits.ts';

/** Shows this process in `afterword ps`, and has a worker follow `afterword pause` and its like. */
export function startMembership(
  store: Store,
  role: 'api' | 'worker',
  scorer: string | null,
  vitals: Parameters<typeof startHeartbeat>[0]['vitals'],
  log: Logger,
  controlled?: { readonly worker: Controlled; readonly concurrency: number; readonly now: Controls },
): Heartbeat {
  const name = process.env['AFTERWORD_ROLE'] ?? role;
  const member = { memberId: randomUUID(), role, name, host: hostname(), pid: process.pid, version, scorer };
  const target = targetOf(member);
  const afterBeat =
    controlled &&
    followControls({
      ...controlled,
      readControls: () => readControls(store, { memberId: member.memberId, target }, statementDeadlineMs),
      log,
    });
  return startHeartbeat({
    ...(afterBeat && { afterBeat }),
    member,
    joinFleet: (member, first) => joinFleet(store, member, first, statementDeadlineMs),
    sendHeartbeat: (memberId, now) => sendHeartbeat(store, memberId, now, statementDeadlineMs),
    vitals,
    log,
  });
}

/** What operators want of this worker when it starts: one that is paused should not begin to take deliveries. */
export function controlsAtStart(store: Store): Promise<Controls> {
  const target = targetOf({ name: process.env['AFTERWORD_ROLE'] ?? 'worker', host: hostname() });
  return readControls(store, { memberId: '', target }, statementDeadlineMs);
}
