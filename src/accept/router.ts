import { type Response, Router } from 'express';
import type { Conversation } from '../event/conversation.ts';
import type { ScoreDetails } from '../event/outcome.ts';
import { type BodyBudget, callerOf, jsonBody, requireUser, type Slots, sendJson } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { batchHandler } from './batch.ts';
import { parseConversationRequest, toConversation } from './request.ts';
import { presentTaken, type Take } from './take.ts';

/** Seconds after which it is worth asking for the status. */
function secondsUntil(processAfter: Date | null): number {
  return processAfter === null ? 1 : Math.max(1, Math.ceil((processAfter.getTime() - Date.now()) / 1_000));
}

/** `POST /v1/conversations/end`, many of them at once, and the dry run `POST /v1/conversations/score`. */
export function acceptRouter(options: {
  readonly take: Take;
  /** Scores without storing; rejects with a PipelineError. */
  readonly dryRun: (conversation: Conversation) => Promise<ScoreDetails>;
  /** Counts a conversation against the limit of its user; null: there is none. @throws {Problem} 429 */
  readonly takeAllowance: ((response: Response, userId: string) => Promise<void> | void) | null;
  readonly batches: Slots;
  readonly log: Logger;
  readonly maxBodyBytes: number;
  readonly budget: BodyBudget;
  /** Aborted when the process ends. */
  readonly stop: AbortSignal;
}): Router {
  const { take, takeAllowance, maxBodyBytes } = options;
  const router = Router();
  const body = [options.budget.handler, ...jsonBody(maxBodyBytes)];
  const allowIn = (response: Response) => async (userId: string) => takeAllowance?.(response, userId);

  router.post('/v1/conversations/end', ...body, async (request, response) => {
    const taken = await take(request.body, callerOf(response), allowIn(response));
    response.statusCode = 202;
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Location', `/v1/conversations/${encodeURIComponent(taken.conversationId)}`);
    response.setHeader('Retry-After', String(secondsUntil(taken.processAfter ?? null)));
    if (taken.replayed) response.setHeader('Idempotency-Replayed', 'true');
    response.end(`${JSON.stringify(presentTaken(taken))}\n`);
  });

  router.post(
    '/v1/conversations/end/batch',
    batchHandler({
      take: (line, response) => take(line, callerOf(response), allowIn(response)),
      ...{ batches: options.batches, maxBodyBytes, stop: options.stop, log: options.log },
    }),
  );

  router.post('/v1/conversations/score', ...body, async (request, response) => {
    const conversation = parseConversationRequest(request.body);
    requireUser(callerOf(response), conversation.userId);
    sendJson(response, 200, await options.dryRun(toConversation(conversation)));
  });

  return router;
}
