import { type Caller, Problem, requireUser } from '../runtime/http/index.ts';
import type { Acceptor } from './accept.ts';
import { parseConversationRequest } from './request.ts';

/** An accepted conversation, or the end of a live session. */
export type Taken = {
  readonly conversationId: string;
  readonly eventId: string;
  readonly replayed: boolean;
  /** When it is scored, if that is later. */
  readonly processAfter?: Date | null;
};

/** A body with `session_id` in place of a log: the conversation is the one that the session holds. */
export type SessionEnd = Readonly<Record<string, unknown>> & { readonly session_id: unknown };

/**
 * Takes a body of `/end`, alone or as a line of a batch.
 *
 * @param allow  counts a conversation against the limit of its user.
 * @throws {Problem} @throws {PipelineError} transient
 */
export type Take = (body: unknown, caller: Caller, allow: (userId: string) => Promise<void>) => Promise<Taken>;

export function createTake(options: {
  readonly acceptor: Acceptor;
  /** Ends a live session with the fields of the body; null: there are no live sessions. */
  readonly endSession: ((body: SessionEnd, caller: Caller) => Promise<Taken>) | null;
  /** Counts a conversation of a user, sent by a caller, and says whether there are too many; null: never. */
  readonly isNoisy: ((userId: string, caller: Caller) => Promise<boolean>) | null;
}): Take {
  return async (body, caller, allow) => {
    if (isSessionEnd(body)) {
      if (options.endSession === null)
        throw new Problem(422, 'no_sessions', 'this service has no live sessions (REDIS_URL is not set)');
      return options.endSession(body, caller);
    }
    const conversation = parseConversationRequest(body);
    requireUser(caller, conversation.userId);
    await allow(conversation.userId);
    const isNoisy = (await options.isNoisy?.(conversation.userId, caller)) ?? false;
    const accepted = await options.acceptor.accept(conversation, { isNoisy });
    return { conversationId: conversation.conversationId, ...accepted };
  };
}

function isSessionEnd(body: unknown): body is SessionEnd {
  if (typeof body !== 'object' || body === null) return false;
  const given = body as Record<string, unknown>;
  return given['session_id'] != null && given['conversation_log'] == null && given['conversation_logs'] == null;
}

export function presentTaken({ conversationId, eventId, replayed }: Taken) {
  return {
    status: 'accepted',
    message: replayed ? 'this conversation was accepted before' : 'the conversation will be scored',
    conversation_id: conversationId,
    event_id: eventId,
  };
}
