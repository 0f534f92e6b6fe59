import { faultOf } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import type { LiveSessions, Message, StoredSessions } from './ports.ts';
import { tellLate } from './tell-late.ts';
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

  /**
   * Writes what this process has acknowledged, whether Redis has it or not.
   * @returns `unknown`: the database has no such session yet, another process may know it.
   */
  async function write(sessionId: string, messages: readonly Message[]): Promise<'written' | 'nothing' | 'unknown'> {
    const head = unsynced.headOf(sessionId);
    if (head === null && messages.length === 0) return 'nothing';
    const erasedAt = await stored.erasedAt(sessionId);
    const saidAt = messages.at(-1)?.sentAt ?? head?.startedAt;
    if (erasedAt !== null && saidAt !== undefined && saidAt <= erasedAt) {
      unsynced.drop(sessionId);
      return 'nothing';
    }
    if (head !== null) await stored.create(head);
    if (messages.length === 0) return head === null ? 'nothing' : 'written';
    const session = await stored.find(sessionId);
    if (session === null) {
      log.warn(
        { session_id: sessionId, messages: messages.length },
        'Redis has lost a session that is in no database yet',
      );
      return 'unknown';
    }
    const [written] = await stored.write([{ session, messages, end: null }], 0);
    if (written?.kind === 'written' && written.state === 'ended' && written.stored > 0)
      tellLate(log, sessionId, written.stored);
    unsynced.remove(
      sessionId,
      messages.map((m) => m.messageId),
    );
    return 'written';
  }

  /** Tells the database what Redis has lost of our answers. @returns whether there was something. */
  async function restore(sessionId: string): Promise<boolean> {
    const messages = unsynced.of(sessionId);
    const fates = await live.fates(
      sessionId,
      messages.map((m) => m.messageId),
    );
    const lost = new Set(fates.lost);
    const result = await write(
      sessionId,
      messages.filter((m) => lost.has(m.messageId)),
    );
    if (result === 'written' && lost.size > 0) await reconcile(sessionId);
    return result === 'written' && lost.size > 0;
  }

  /** @returns whether Redis has forgotten the session, and will have it from the database. */
  async function reconcile(sessionId: string): Promise<boolean> {
    await options.syncOne(sessionId);
    return live.forget(sessionId, []);
  }

  /** Sessions that any process of the fleet has continued in the database. */
  async function reattach(): Promise<number> {
    let sessions = 0;
    for (;;) {
      const detached = await stored.detached(page);
      const done: (typeof detached)[number][] = [];
      for (const one of detached) if (await reconcile(one.sessionId)) done.push(one);
      await stored.attach(done);
      sessions += done.length;
      // The others were used meanwhile, and are tried again later.
      if (detached.length < page || done.length === 0) return sessions;
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
        const left = unsynced.of(sessionId).map((m) => m.messageId);
        const { lost, pending } = await live.fates(sessionId, left);
        if (lost.length === 0 && pending.length === 0) unsynced.drop(sessionId);
      }
    },
    async recover(): Promise<void> {
      let restored = 0;
      for (const sessionId of unsynced.sessions()) {
        try {
          if (await restore(sessionId)) restored++;
        } catch (error) {
          if (faultOf(error) === 'transient') throw error;
          log.error({ err: error, session_id: sessionId }, 'a session cannot be reconciled');
        }
      }
      // Without the database nothing was taken meanwhile by us, and the loop finds what others did.
      const continued = await reattach().catch((error: unknown) => {
        log.debug({ err: error }, 'sessions that were continued in the database are looked for later');
        return 0;
      });
      if (restored + continued > 0) log.info({ restored, continued }, 'sessions reconciled after Redis was away');
    },
  };
}
