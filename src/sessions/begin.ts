import { PipelineError } from '../event/fault.ts';
import type { LiveSessions, Session, SessionHead, StoredSessions } from './ports.ts';
import type { Unsynced } from './unsynced.ts';

/** @returns the session that was there before; null: begun. */
type BeginSession = (head: SessionHead) => Promise<Session | null>;

/**
 * Begins a session in the database, which then knows it when Redis does not, and in Redis. If one of them is away, the
 * other does.
 */
export function createBegin(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly isUp: () => boolean;
}): BeginSession {
  const { live, stored, unsynced, isUp } = options;

  async function beginLive(head: SessionHead): Promise<Session | null> {
    await live.markDirty(head.sessionId);
    const before = await live.create(head);
    if (before === null) unsynced.begin(head);
    return before;
  }

  return async (head) => {
    let before: Session | null;
    try {
      before = await stored.create(head);
    } catch (error) {
      if (!isUp() || !(error instanceof PipelineError) || error.kind !== 'transient') throw error;
      return beginLive(head);
    }
    if (before !== null || !isUp()) return before;
    // Redis would have it from the database with its first message, too.
    return live.create(head).catch(() => null);
  };
}
