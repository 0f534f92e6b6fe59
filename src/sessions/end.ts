import { isDeepStrictEqual } from 'node:util';
import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import { notFound } from './not-found.ts';
import {
  type AcceptConversation,
  type CheckConversation,
  type EndRequest,
  type FindEvent,
  type LiveSessions,
  type Message,
  type SessionHead,
  type StoredSession,
  type StoredSessions,
  wholeSession,
} from './ports.ts';

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
  /** Until then, another process may still have to tell the database what Redis has lost. */
  readonly unsettledMs: () => number;
  readonly accept: AcceptConversation;
  readonly findEvent: FindEvent;
  readonly check: CheckConversation;
}): EndSession {
  const { live, stored } = options;

  async function closeLive(sessionId: string, asked: EndRequest, idleMs: number): Promise<EndRequest | 'active'> {
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
    if (accepted.kind === 'accepted') return noteEnd(session, session.end, accepted);
    const earlier = await ownEvent(session, session.end, messages);
    if (earlier !== null) return noteEnd(session, session.end, earlier);
    // For example because another conversation has its id: the session goes on.
    if (await stored.reopen(session)) await tell(sessionId, 'open');
    throw accepted.why;
  }

  async function noteEnd(
    session: StoredSession,
    { conversationId }: EndRequest,
    { eventId, replayed }: { readonly eventId: string; readonly replayed: boolean },
  ): Promise<Ended> {
    // Otherwise another call has finished or reopened it meanwhile: the caller asks again.
    if (!(await stored.markEnded(session, eventId))) return again(session.sessionId, eventId);
    await tell(session.sessionId, 'ended');
    return { conversationId, eventId, replayed };
  }

  /**
   * The event that an earlier finish has had accepted, and died before it was noted: of this user, with nothing but
   * what was said in this session. What came into the session since is not in it.
   */
  async function ownEvent(session: StoredSession, end: EndRequest, messages: readonly Message[]) {
    const event = await options.findEvent(end.conversationId);
    if (event === null || event.userId !== session.userId || event.turns.length === 0) return null;
    const said = new Set(messages.map((m) => `${m.sentAt.toISOString()} ${m.text}`));
    const isOurs = event.turns.every(({ text, timestamp }) => said.has(`${timestamp} ${text}`));
    return isOurs ? { eventId: event.eventId, replayed: true } : null;
  }

  async function again(sessionId: string, eventId: string): Promise<Ended> {
    const now = await stored.find(sessionId);
    if (now?.eventId === eventId && now.end !== null)
      return { conversationId: now.end.conversationId, eventId, replayed: true };
    throw new PipelineError('transient', 'SESSION_NOT_CLOSED', 'the session was ended by somebody else meanwhile');
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
    const unsettledMs = options.unsettledMs();
    if (unsettledMs > 0)
      throw new Problem(503, 'redis_restarted', 'Redis has restarted: what it may have lost is being brought back', {
        retryAfterSeconds: Math.ceil(unsettledMs / 1_000),
      });
    // Without its messages, only they decide whether end_time is late enough.
    if (before !== null) options.check(toConversation(before, { ...asked, endTime: null }, []));
    const closed = await closeLive(sessionId, asked, idleMs);
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
      const asked = { conversationId: sessionId, endTime: null, metadata: null, userId: null };
      // Otherwise it would be looked at again and again, in front of those that are idle.
      if ((await end(sessionId, asked, idleMs)) === null) await stored.touch(sessionId);
    },
  };
}

function requireUser(session: SessionHead, { userId }: EndRequest): void {
  if (userId !== null && userId !== session.userId)
    throw new Problem(422, 'invalid_request', 'the session is not of this user', {
      errors: [{ pointer: '/user_id', detail: "must be the session's, or left out" }],
    });
}

function requireSame(first: EndRequest, asked: EndRequest): void {
  const of = ({ conversationId, endTime, metadata }: EndRequest) => [conversationId, endTime, metadata];
  if (!isDeepStrictEqual(of(first), of(asked)))
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
