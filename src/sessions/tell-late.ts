import type { Logger } from '../runtime/log.ts';

/** Messages are never thrown away, but these came too late for the session's event. The audit finds them, too. */
export function tellLate(log: Logger, sessionId: string, messages: number): void {
  log.error({ session_id: sessionId, messages }, 'messages came into a session that has ended: its event lacks them');
}
