import type { Logger } from '../runtime/log.ts';
import type { LiveSessions, StoredSessions } from './ports.ts';
import type { Unsynced } from './unsynced.ts';

const page = 500;

/**
 * What has to be done after Redis was away, before it is used again: it may have lost messages that this process has
 * answered for, and the database may have taken others meanwhile. Both are brought together in the database, where a
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

  /** Tells the database what Redis has lost of our answers. */
  async function restore(sessionId: string): Promise<boolean> {
    const messages = unsynced.of(sessionId);
    const lost = new Set(
      await live.unknown(
        sessionId,
        messages.map((m) => m.messageId),
      ),
    );
    if (lost.size === 0) return false;
    const head = unsynced.headOf(sessionId);
    const session = (await stored.find(sessionId)) ?? (head && { ...head, activeAt: head.startedAt });
    if (session === null) {
      log.error({ session_id: sessionId, messages: lost.size }, 'Redis has lost a session that the database never had');
      return false;
    }
    await stored.write([{ session, messages: messages.filter((m) => lost.has(m.messageId)), end: null }], 0);
    unsynced.remove(sessionId, [...lost]);
    await reconcile(sessionId);
    return true;
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
    async recover(): Promise<void> {
      let restored = 0;
      for (const sessionId of unsynced.sessions()) if (await restore(sessionId)) restored++;
      // Without the database nothing was taken meanwhile by us, and the loop finds what others did.
      const continued = await reattach().catch((error: unknown) => {
        log.debug({ err: error }, 'sessions that were continued in the database are looked for later');
        return 0;
      });
      if (restored + continued > 0) log.info({ restored, continued }, 'sessions brought back together');
    },
  };
}
