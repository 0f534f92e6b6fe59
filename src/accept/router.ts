import { Router } from 'express';
import type { Conversation } from '../event/conversation.ts';
import type { ScoreDetails } from '../event/outcome.ts';
import { type BodyBudget, jsonBody, sendJson } from '../runtime/http/index.ts';
import type { Acceptor } from './accept.ts';
import { parseConversationRequest, toConversation } from './request.ts';

/** Seconds after which it is worth asking for the status. */
const retryAfterSeconds = '1';

/** `POST /v1/conversations/end` and its dry run `POST /v1/conversations/score`. */
export function acceptRouter(options: {
  readonly acceptor: Acceptor;
  /** Scores without storing; rejects with a PipelineError. */
  readonly dryRun: (conversation: Conversation) => Promise<ScoreDetails>;
  readonly maxBodyBytes: number;
  readonly budget: BodyBudget;
}): Router {
  const router = Router();
  const body = [options.budget.handler, ...jsonBody(options.maxBodyBytes)];

  router.post('/v1/conversations/end', ...body, async (request, response) => {
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
