import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import type { Logger } from '../runtime/log.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import type { LiveSessions, Message, NewMessage, SessionLimits, StoredSessions, Taken } from './ports.ts';
import type { Sync } from './sync.ts';
import type { Unsynced } from './unsynced.ts';

export type TakeMessages = (sessionId: string, messages: readonly NewMessage[]) => Promise<readonly Taken[]>;

const retryAfterSeconds = 2;

/**
 * Takes messages: from Redis, and while Redis is away, from the database, with the same answers.
 *
 * @param options.maxPendingBytes  what Redis may hold for the database, in all sessions.
 */
export function createTake(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly sync: Pick<Sync, 'nudge'>;
  /** Gives the database what this process knows of a session, and Redis may have lost. */
  readonly complete: (sessionId: string) => Promise<unknown>;
  readonly isUp: () => boolean;
  /** Marks must be seen by Redis before what they announce: one connection keeps the order, a cluster does not. */
  readonly keepsOrder: boolean;
  readonly limits: SessionLimits;
  readonly maxPendingBytes: number;
  /** Messages pending in one session after which it is synced at once. */
  readonly syncFrom: number;
  readonly log: Logger;
}): { readonly take: TakeMessages; readonly load: (sessionId: string) => Promise<boolean> } {
  const { live, stored, unsynced, limits, log } = options;
  let pendingBytes = 0;

  /** @returns whether there is such a session. */
  async function load(sessionId: string): Promise<boolean> {
    await options.complete(sessionId);
    const session = await stored.find(sessionId);
    if (session === null) return false;
    await live.load(session, await stored.lastMessages(sessionId, 10));
    return true;
  }

  async function takeLive(sessionId: string, messages: readonly NewMessage[]): Promise<readonly Taken[]> {
    const bytes = messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
    let isLoaded = false;
    let isAsked = false;
    for (;;) {
      if (pendingBytes > options.maxPendingBytes) pendingBytes = await live.mark(sessionId, 0);
      if (pendingBytes > options.maxPendingBytes)
        throw new Problem(503, 'too_much_pending', 'the database has not taken earlier messages yet; try again later', {
          retryAfterSeconds,
        });
      const marked = live.mark(sessionId, bytes);
      if (!options.keepsOrder) await marked;
      const [appended, held] = await Promise.all([live.append(sessionId, messages, { limits, isAsked }), marked]);
      pendingBytes = held;
      const unused =
        typeof appended === 'string'
          ? bytes
          : messages.reduce((sum, m, i) => sum + (appended.taken[i]?.isReplay ? Buffer.byteLength(m.text) : 0), 0);
      if (unused > 0) void live.mark(sessionId, -unused).catch(() => {});
      if (typeof appended !== 'string') {
        unsynced.add(sessionId, toMessages(messages, appended.taken));
        if (appended.pending >= options.syncFrom) options.sync.nudge(sessionId);
        return appended.taken;
      }
      if (appended === 'missing' && !isLoaded && (await load(sessionId))) isLoaded = true;
      else if (appended === 'ask') {
        const known = await stored.findTaken(
          sessionId,
          messages.map((m) => m.messageId),
        );
        if (known.size === messages.length) return messages.map((m) => known.get(m.messageId) as Taken);
        if (known.size > 0) {
          const rest = messages.filter((m) => !known.has(m.messageId));
          const taken = new Map(known);
          for (const [i, one] of (await takeLive(sessionId, rest)).entries()) taken.set(rest[i]?.messageId ?? '', one);
          return messages.map((m) => taken.get(m.messageId) as Taken);
        }
        isAsked = true;
      } else throw refused(appended);
    }
  }

  async function takeStored(sessionId: string, messages: readonly NewMessage[]): Promise<readonly Taken[]> {
    const before = unsynced.of(sessionId);
    const head = unsynced.headOf(sessionId);
    if (head !== null) await stored.create(head);
    const taken = await stored.take(sessionId, messages, { unsynced: before, limits });
    // Another process may have created it in Redis while the database was away.
    if (taken === 'missing')
      throw new PipelineError('transient', 'REDIS_UNAVAILABLE', 'the database has no such session, and Redis is away');
    if (typeof taken === 'string') throw refused(taken);
    unsynced.remove(
      sessionId,
      before.map((m) => m.messageId),
    );
    return taken;
  }

  return {
    load,
    async take(sessionId, messages) {
      const began = performance.now();
      let from: 'redis' | 'database' = 'redis';
      let taken: readonly Taken[] | null = null;
      if (options.isUp()) {
        try {
          taken = await takeLive(sessionId, messages);
        } catch (error) {
          if (!(error instanceof PipelineError) || error.code !== 'REDIS_UNAVAILABLE') throw error;
          log.debug({ err: error }, 'a message goes straight to the database');
        }
      }
      if (taken === null) {
        from = 'database';
        taken = await takeStored(sessionId, messages);
      }
      for (const { isReplay } of taken) telemetry.sessionMessage.tell({ from, isReplay, ms: msSince(began) });
      return taken;
    },
  };
}

function toMessages(messages: readonly NewMessage[], taken: readonly Taken[]): Message[] {
  return messages.flatMap(({ isNamed: _, ...message }, i) => {
    const { position, isReplay } = taken[i] as Taken;
    return isReplay ? [] : [{ ...message, position }];
  });
}

function refused(reason: 'missing' | 'ended' | 'full'): Problem {
  switch (reason) {
    case 'missing':
      return new Problem(404, 'session_not_found', 'there is no session with this id');
    case 'ended':
      return new Problem(409, 'session_ended', 'the session has ended and takes no more messages');
    case 'full':
      return new Problem(
        429,
        'session_full',
        'the session holds as much as one conversation may: end it, and begin another',
      );
  }
}
