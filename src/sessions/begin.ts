import { PipelineError } from '../event/fault.ts';
import type { LiveSessions, Session, SessionHead, StoredSessions } from './ports.ts';
import type { Unsynced } from './unsynced.ts';

/**
 * @param isNew  the id was just made: nobody can have it.
 * @returns the session that was there before; null: begun.
 */
type BeginSession = (head: SessionHead, isNew: boolean) => Promise<Session | null>;

/**
 * Begins a session in the database, which then knows it when Redis does not, and in Redis. While the database is away,
 * only sessions with a new id can begin, in Redis: of any other, only the database knows whether it exists, and whose
 * it is.
 */
export function createBegin(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly isUp: () => boolean;
}): BeginSession {
  const { live, stored, unsynced, isUp } = options;

  return async (head, isNew) => {
    let before: Session | null;
    try {
      before = await stored.create(head);
    } catch (error) {
      const isAway = error instanceof PipelineError && error.kind === 'transient';
      if (!isAway || !isNew || !isUp()) throw error;
      before = await live.create(head, false);
      unsynced.begin(head);
      return before;
    }
    if (before !== null || !isUp()) return before;
    // Redis would have it from the database with its first message, too.
    return live.create(head, true).catch(() => null);
  };
}
