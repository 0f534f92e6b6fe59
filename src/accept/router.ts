import { type Response, Router } from 'express';
import type { Conversation } from '../event/conversation.ts';
import type { ScoreDetails } from '../event/outcome.ts';
import { type BodyBudget, jsonBody, Problem, sendJson } from '../runtime/http/index.ts';
import type { Acceptor } from './accept.ts';
import { parseConversationRequest, toConversation } from './request.ts';

/** Seconds after which it is worth asking for the status. */
const retryAfterSeconds = '1';

/** `POST /v1/conversations/end` and its dry run `POST /v1/conversations/score`. */
export function acceptRouter(options: {
  readonly acceptor: Acceptor;
  /** Scores without storing; rejects with a PipelineError. */
  readonly dryRun: (conversation: Conversation) => Promise<ScoreDetails>;
  /** Ends a live session with the fields of the body, and answers; null: there are no live sessions. */
  readonly endSession: ((body: SessionEnd, response: Response) => Promise<void>) | null;
  readonly maxBodyBytes: number;
  readonly budget: BodyBudget;
}): Router {
  const router = Router();
  const body = [options.budget.handler, ...jsonBody(options.maxBodyBytes)];

  router.post('/v1/conversations/end', ...body, async (request, response) => {
    if (isSessionEnd(request.body)) {
      if (options.endSession === null)
        throw new Problem(422, 'no_sessions', 'this service has no live sessions (REDIS_URL is not set)');
      return options.endSession(request.body, response);
    }
    const conversation = parseConversationRequest(request.body);
    const { eventId, replayed } = await options.acceptor.accept(conversation);
    response.statusCode = 202;
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Location', `/v1/conversations/${encodeURIComponent(conversation.conversationId)}`);
    response.setHeader('Retry-After', retryAfterSeconds);
    if (replayed) response.setHeader('Idempotency-Replayed', 'true');
    response.end(
      `${JSON.stringify({
        status: 'accepted',
        message: replayed ? 'this conversation was accepted before' : 'the conversation will be scored',
        conversation_id: conversation.conversationId,
        event_id: eventId,
      })}\n`,
    );
  });

  router.post('/v1/conversations/score', ...body, async (request, response) => {
    const conversation = parseConversationRequest(request.body);
    sendJson(response, 200, await options.dryRun(toConversation(conversation)));
  });

  return router;
}

/** A body with `session_id` in place of a log: the conversation is the one that the session holds. */
export type SessionEnd = Readonly<Record<string, unknown>> & { readonly session_id: unknown };

function isSessionEnd(body: unknown): body is SessionEnd {
  if (typeof body !== 'object' || body === null) return false;
  const given = body as Record<string, unknown>;
  return given['session_id'] != null && given['conversation_log'] == null && given['conversation_logs'] == null;
}
