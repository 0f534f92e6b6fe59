import { PipelineError } from '../event/fault.ts';
import {
  historyLength,
  type LiveSessions,
  type LiveView,
  type Message,
  type StoredSession,
  type StoredSessions,
} from './ports.ts';
import type { Unsynced } from './unsynced.ts';

export type SessionView = Omit<LiveView, 'bytes' | 'lastPosition'> & Pick<StoredSession, 'end' | 'eventId'>;

export type Reads = {
  session(sessionId: string): Promise<SessionView | null>;
  /** Messages after a position, from Redis and the database as one list. */
  messagesAfter(sessionId: string, position: number, limit: number): Promise<readonly Message[]>;
  findMessage(sessionId: string, messageId: string): Promise<Message | null>;
};

/** Sessions as they are, wherever their messages are now. */
export function createReads(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Pick<Unsynced, 'of'>;
  readonly isUp: () => boolean;
}): Reads {
  const { live, stored, unsynced } = options;

  /** What Redis says; null if it has nothing to say, or is away. */
  async function fromRedis<T>(read: () => Promise<T>): Promise<T | null> {
    if (!options.isUp()) return null;
    try {
      return await read();
    } catch (error) {
      if (error instanceof PipelineError && error.code === 'REDIS_UNAVAILABLE') return null;
      throw error;
    }
  }

  async function messagesAfter(sessionId: string, position: number, limit: number): Promise<readonly Message[]> {
    // Redis first: what is synced between the two reads is then seen twice, and never missed.
    const pending =
      (await fromRedis(() => live.pendingAfter(sessionId, position, limit))) ??
      unsynced.of(sessionId).filter((m) => m.position > position);
    const written = await stored.messagesAfter(sessionId, position, limit);
    const ids = new Set(written.map((m) => m.messageId));
    return [...written, ...pending.filter((m) => !ids.has(m.messageId))]
      .sort((a, b) => a.position - b.position)
      .slice(0, limit);
  }

  return {
    messagesAfter,

    async session(sessionId) {
      const view = await fromRedis(() => live.view(sessionId));
      if (view?.state === 'open') return { ...view, end: null, eventId: null };
      const session = await stored.find(sessionId);
      if (session === null) return view && { ...view, end: null, eventId: null };
      if (view !== null)
        return {
          ...view,
          state: session.state === 'open' ? view.state : session.state,
          end: session.end,
          eventId: session.eventId,
        };
      const waiting = unsynced.of(sessionId).filter((m) => m.position > session.lastPosition);
      const history = [...(await stored.lastMessages(sessionId, historyLength)), ...waiting];
      return {
        ...session,
        messages: session.messages + waiting.length,
        questions: session.questions + waiting.filter((m) => m.role === 'user').length,
        history: history.slice(-historyLength),
        pending: waiting.length,
      };
    },

    async findMessage(sessionId, messageId) {
      const view = await fromRedis(() => live.view(sessionId));
      const recent = view?.history.find((m) => m.messageId === messageId);
      return recent ?? stored.findMessage(sessionId, messageId);
    },
  };
}
