import { isDeepStrictEqual } from 'node:util';
import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import { notFound } from './not-found.ts';
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
   * @throws {Problem} @throws {PipelineError} transient: the same call may be repeated.
   */
  end(sessionId: string, asked: EndRequest): Promise<Ended>;
  /** The same for a session without activity for `idleMs`; does nothing if it is active. */
  endIfIdle(sessionId: string, idleMs: number): Promise<void>;
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
    await live.markDirty(sessionId);
    const closed = await live.close(sessionId, asked, idleMs);
    if (closed !== null) return closed;
    if (!(await options.load(sessionId))) throw notFound();
    const again = await live.close(sessionId, asked, idleMs);
    if (again !== null) return again;
    throw new PipelineError('transient', 'REDIS_UNAVAILABLE', 'Redis lost the session while it was being closed');
  }

  async function finish(sessionId: string): Promise<Ended> {
    const session = await stored.find(sessionId);
    if (session?.end == null)
      throw new PipelineError('transient', 'SESSION_NOT_CLOSED', 'the end of the session is not stored yet');
    const { conversationId } = session.end;
    if (session.eventId !== null) return { conversationId, eventId: session.eventId, replayed: true };
    const messages = await stored.messagesAfter(sessionId, 0, wholeSession);
    const accepted = await options.accept(toConversation(session, session.end, messages));
    if (accepted.kind === 'refused') {
      // For example because another conversation has its id: the session goes on.
      await stored.reopen(sessionId);
      await tell(sessionId, 'open');
      throw accepted.why;
    }
    await stored.markEnded(sessionId, accepted.eventId);
    await tell(sessionId, 'ended');
    return { conversationId, eventId: accepted.eventId, replayed: accepted.replayed };
  }

  /** Best effort: reads take the state from the database, and so does Redis at its next load. */
  async function tell(sessionId: string, state: 'open' | 'ended'): Promise<void> {
    await live.setState(sessionId, state).catch(() => {});
  }

  /** Null: it has not been idle for `idleMs`. */
  async function end(sessionId: string, asked: EndRequest, idleMs: number): Promise<Ended | null> {
    const before = await stored.find(sessionId).catch((error: unknown) => {
      if (error instanceof PipelineError && error.kind === 'transient') return null;
      throw error;
    });
    if (before !== null) requireUser(before, asked);
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
    if (closed === 'active') return null;
    requireSame(closed, asked);
    await options.syncOne(sessionId);
    return finish(sessionId);
  }

  return {
    finish,
    async end(sessionId, asked) {
      const ended = await end(sessionId, asked, 0);
      if (ended === null) throw new Error('a session counts as active that nobody asked to be idle');
      return ended;
    },
    async endIfIdle(sessionId, idleMs) {
      await end(sessionId, { conversationId: sessionId, endTime: null, metadata: null, userId: null }, idleMs);
    },
  };
}

function requireUser(session: SessionHead, { userId }: EndRequest): void {
  if (userId !== null && userId !== session.userId)
    throw new Problem(422, 'invalid_request', 'the session is not of this user', {
      errors: [{ pointer: '/user_id', detail: "must be the session's, or left out" }],
    });
}

function requireSame({ userId: _, ...first }: EndRequest, { userId: __, ...asked }: EndRequest): void {
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
