import type { Logger } from '../runtime/log.ts';
import type { LiveSessions, Message, StoredSessions } from './ports.ts';
import type { Unsynced } from './unsynced.ts';

const page = 500;

/**
 * What has to be done after Redis was away, before it is used again: it may have lost messages that this process has
 * acknowledged, and the database may have taken others meanwhile. Both are brought together in the database, where a
 * message is known by its id; then Redis forgets those sessions, and has them from the database at their next use.
 *
 * @param options.syncOne  as in sync.ts.
 */
export function createRecovery(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly syncOne: (sessionId: string) => Promise<boolean>;
  readonly log: Logger;
}) {
  const { live, stored, unsynced, log } = options;

  /** Writes what this process has acknowledged, whether Redis has it or not. @returns false: nothing had to be. */
  async function write(sessionId: string, messages: readonly Message[]): Promise<boolean> {
    if (messages.length === 0) return false;
    const head = unsynced.headOf(sessionId);
    const session = (await stored.find(sessionId)) ?? (head && { ...head, activeAt: head.startedAt });
    if (session === null) {
      log.error(
        { session_id: sessionId, messages: messages.length },
        'Redis has lost a session that no database knows',
      );
      return false;
    }
    await stored.write([{ session, messages, end: null }], 0);
    unsynced.remove(
      sessionId,
      messages.map((m) => m.messageId),
    );
    return true;
  }

  /** Tells the database what Redis has lost of our answers. */
  async function restore(sessionId: string): Promise<boolean> {
    const messages = unsynced.of(sessionId);
    const lost = new Set(
      await live.unknown(
        sessionId,
        messages.map((m) => m.messageId),
      ),
    );
    const isNews = await write(
      sessionId,
      messages.filter((m) => lost.has(m.messageId)),
    );
    if (isNews) await reconcile(sessionId);
    return isNews;
  }

  async function reconcile(sessionId: string): Promise<void> {
    await options.syncOne(sessionId);
    await live.forget(sessionId, []);
  }

  /** Sessions that any process of the fleet has continued in the database. */
  async function reattach(): Promise<number> {
    let sessions = 0;
    for (;;) {
      const detached = await stored.detached(page);
      for (const { sessionId } of detached) await reconcile(sessionId);
      await stored.attach(detached);
      sessions += detached.length;
      if (detached.length < page) return sessions;
    }
  }

  return {
    reattach,
    /** Before a session is brought from the database, because Redis does not have it: it may have lost it. */
    writeCopies: (sessionId: string) => write(sessionId, unsynced.of(sessionId)),
    /** What was acknowledged so long ago should be in the database: makes sure, and forgets it. */
    async retire(ms: number): Promise<void> {
      for (const sessionId of unsynced.sessions(ms)) {
        await restore(sessionId);
        unsynced.drop(sessionId);
      }
    },
    async recover(): Promise<void> {
      let restored = 0;
      for (const sessionId of unsynced.sessions()) if (await restore(sessionId)) restored++;
      // Without the database nothing was taken meanwhile by us, and the loop finds what others did.
      const continued = await reattach().catch((error: unknown) => {
        log.debug({ err: error }, 'sessions that were continued in the database are looked for later');
        return 0;
      });
      if (restored + continued > 0) log.info({ restored, continued }, 'sessions reconciled after Redis was away');
    },
  };
}
