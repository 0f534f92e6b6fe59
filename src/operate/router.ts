import { Router } from 'express';
import type { EventStatus } from '../event/event.ts';
import { callerOf, jsonBody, Problem, parseBody, sendJson } from '../runtime/http/index.ts';
import type { Operated, RetryEvent, RetryFailed, SkipEvent } from './ports.ts';
import { bulkRetry, skip } from './requests.ts';

const maxBodyBytes = 16_384;

/**
 * What an operator can do to events: retry a FAILED one, skip a PENDING one, retry many. The relay publishes the events
 * that become due.
 */
export function operateRouter(options: {
  readonly retryEvent: RetryEvent;
  readonly skipEvent: SkipEvent;
  readonly retryFailed: RetryFailed;
}): Router {
  const router = Router();

  // Before `:id/retry`, so that "retry" is not taken for an id.
  router.post('/v1/conversations/retry', ...jsonBody(maxBodyBytes), async (request, response) => {
    const { error_code: errorCode, before, limit } = parseBody(bulkRetry, request.body);
    const filter = { ...(errorCode !== undefined && { errorCode }), ...(before && { before }) };
    sendJson(response, 202, { retried: await options.retryFailed(filter, limit, callerOf(response).name) });
  });

  router.post('/v1/conversations/:id/retry', async (request, response) => {
    const { id } = request.params;
    sendJson(
      response,
      202,
      answer(
        id,
        await options.retryEvent(id, callerOf(response).name),
        'PENDING',
        'only a FAILED conversation can be retried',
      ),
    );
  });

  router.post(
    '/v1/conversations/:id/skip',
    ...jsonBody(maxBodyBytes, { optional: true }),
    async (request, response) => {
      const id = String(request.params['id']);
      const { reason } = parseBody(skip, request.body ?? {});
      const skipped = await options.skipEvent(id, reason ?? 'skipped by an operator', callerOf(response).name);
      sendJson(response, 202, answer(id, skipped, 'SKIPPED', 'only a PENDING conversation can be skipped'));
    },
  );

  return router;
}

function answer(conversationId: string, operated: Operated, status: EventStatus, rule: string) {
  switch (operated.kind) {
    case 'done':
      return { conversation_id: conversationId, event_id: operated.eventId, status };
    case 'wrong-state':
      throw new Problem(409, 'wrong_state', `${rule}; this one is ${operated.status}`);
    case 'no-text':
      throw new Problem(409, 'text_removed', 'the text of this conversation was removed, so it cannot be scored again');
    case 'not-found':
      throw new Problem(404, 'conversation_not_found', 'no conversation with this id was accepted');
  }
}
