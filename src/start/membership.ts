import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type Heartbeat, startHeartbeat } from '../members/index.ts';
import type { Logger } from '../runtime/log.ts';
import { joinFleet, type Store, sendHeartbeat } from '../store/index.ts';
import { version } from '../version.ts';
import { statementDeadlineMs } from './limits.ts';

/** Shows this process in `afterword ps`. */
export function startMembership(
  store: Store,
  role: 'api' | 'worker',
  scorer: string | null,
  vitals: Parameters<typeof startHeartbeat>[0]['vitals'],
  log: Logger,
): Heartbeat {
  const name = process.env['AFTERWORD_ROLE'] ?? role;
  return startHeartbeat({
    member: { memberId: randomUUID(), role, name, host: hostname(), pid: process.pid, version, scorer },
    joinFleet: (member, first) => joinFleet(store, member, first, statementDeadlineMs),
    sendHeartbeat: (memberId, now) => sendHeartbeat(store, memberId, now, statementDeadlineMs),
    vitals,
    log,
  });
}
