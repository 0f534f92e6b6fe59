import { isDeepStrictEqual } from 'node:util';
import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import type {
  AcceptConversation,
  CheckConversation,
  EndRequest,
  LiveSessions,
  Message,
  SessionHead,
  StoredSession,
  StoredSessions,
} from './ports.ts';

/** More than a session may hold. */
const wholeSession = 10_000;

export type Ended = { readonly conversationId: string; readonly eventId: string; readonly replayed: boolean };

export type EndSession = {
  /**
   * Ends a session and has its conversation accepted, exactly once however often this is called and wherever it stops:
   * the session is closed in Redis together with what was asked, then its last messages and its end are written in one
   * transaction, then its conversation is accepted under an id that it keeps.
   *
   * @param asked  null: whatever it is being ended with; otherwise a session without activity for `idleMs`.
   * @returns `active` if it has not been idle for `idleMs`.
   * @throws {Problem} @throws {PipelineError} transient: the same call may be repeated.
   */
  end(sessionId: string, asked: EndRequest, idleMs?: number): Promise<Ended | 'active'>;
  /** Accepts the conversation of a session whose end is stored. */
  finish(sessionId: string): Promise<Ended>;
};

export function createEndSession(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly isUp: () => boolean;
  readonly load: (sessionId: string) => Promise<boolean>;
  readonly syncOne: (sessionId: string) => Promise<boolean>;
  readonly accept: AcceptConversation;
  readonly check: CheckConversation;
}): EndSession {
  const { live, stored } = options;

  async function close(sessionId: string, asked: EndRequest, idleMs: number): Promise<EndRequest | 'active'> {
    // Whoever claims it finds what is left to do, also if this process ends now.
    await live.mark(sessionId, 0);
    const closed = await live.close(sessionId, asked, idleMs);
    if (closed !== null) return closed;
    if (!(await options.load(sessionId)))
      throw new Problem(404, 'session_not_found', 'there is no session with this id');
    const again = await live.close(sessionId, asked, idleMs);
    if (again !== null) return again;
    throw new PipelineError('transient', 'REDIS_UNAVAILABLE', 'Redis has forgotten the session while it was closed');
  }

  async function finish(sessionId: string): Promise<Ended> {
    const session = await stored.find(sessionId);
    if (session?.end == null)
      throw new PipelineError('transient', 'SESSION_NOT_CLOSED', 'the end of the session is not stored yet');
    const { conversationId } = session.end;
    if (session.eventId !== null) return { conversationId, eventId: session.eventId, replayed: true };
    const messages = await stored.messagesAfter(sessionId, 0, wholeSession);
    try {
      const { eventId, replayed } = await options.accept(toConversation(session, session.end, messages));
      await stored.markEnded(sessionId, eventId);
      await live.setState(sessionId, 'ended').catch(() => {}); // it learns from the database
      return { conversationId, eventId, replayed };
    } catch (error) {
      // The conversation is refused for good, for example because its id is taken: the session goes on.
      if (error instanceof Problem && error.status < 500) {
        await stored.reopen(sessionId);
        await live.setState(sessionId, 'open').catch(() => {});
      }
      throw error;
    }
  }

  return {
    finish,
    async end(sessionId, asked, idleMs = 0) {
      const before = await stored.find(sessionId).catch((error: unknown) => {
        if (error instanceof PipelineError && error.kind === 'transient') return null;
        throw error;
      });
      if (before?.end != null) {
        requireSame(before.end, asked);
        return finish(sessionId);
      }
      if (!options.isUp())
        throw new PipelineError(
          'transient',
          'REDIS_UNAVAILABLE',
          'a session cannot end while Redis, which may hold some of its messages, is away',
        );
      if (before !== null) options.check(toConversation(before, asked, []));
      const closed = await close(sessionId, asked, idleMs);
      if (closed === 'active') return 'active';
      requireSame(closed, asked);
      await options.syncOne(sessionId);
      return finish(sessionId);
    },
  };
}

function requireSame(first: EndRequest, asked: EndRequest): void {
  if (!isDeepStrictEqual(first, asked))
    throw new Problem(409, 'session_ended', 'the session has ended before, with another id, end_time or metadata');
}

/** The body of `POST /v1/conversations/end`. Built from what is stored alone, so that a repeat builds the same. */
function toConversation(
  session: SessionHead | StoredSession,
  end: EndRequest,
  messages: readonly Message[],
): Record<string, unknown> {
  const times = messages.map((m) => m.sentAt.getTime());
  const start = Math.min(session.startedAt.getTime(), ...times);
  return {
    conversation_id: end.conversationId,
    user_id: session.userId,
    bot_type: session.botType,
    bot_id: session.botId,
    bot_name: session.botName,
    agent_tag: session.topicId,
    start_time: new Date(start).toISOString(),
    end_time: end.endTime ?? new Date(Math.max(start + 1, ...times)).toISOString(),
    metadata: end.metadata,
    conversation_log: messages.map((m) => ({
      speaker: m.role === 'user' ? 'user' : 'pika',
      text: m.text,
      timestamp: m.sentAt.toISOString(),
    })),
  };
}
