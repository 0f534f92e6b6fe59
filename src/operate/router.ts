import { Router } from 'express';
import * as z from 'zod';
import type { EventStatus } from '../event/event.ts';
import { jsonBody, Problem, parseBody, sendJson } from '../runtime/http/index.ts';
import type { Operated, RetryEvent, RetryFailed, SkipEvent } from './ports.ts';

const maxBodyBytes = 16_384;

const bulkRetry = z.strictObject(
  {
    status: z.literal('FAILED', 'must be FAILED, the only state that is retried'),
    error_code: z.string('must be a string').max(64, 'must have at most 64 characters').optional(),
    before: z.iso
      .datetime({ offset: true, error: 'must be an ISO 8601 date and time with zone' })
      .transform((text) => new Date(text))
      .optional(),
    limit: z
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(10_000, 'must be at most 10000')
      .default(1_000),
  },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `has unknown fields: ${issue.keys.join(', ')}` : 'must be an object',
  },
);

const skip = z.object(
  { reason: z.string('must be a string').max(500, 'must have at most 500 characters').optional() },
  'must be an object',
);

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
    sendJson(response, 202, { retried: await options.retryFailed(filter, limit) });
  });

  router.post('/v1/conversations/:id/retry', async (request, response) => {
    const { id } = request.params;
    sendJson(
      response,
      202,
      answer(id, await options.retryEvent(id), 'PENDING', 'only a FAILED conversation can be retried'),
    );
  });

  router.post(
    '/v1/conversations/:id/skip',
    ...jsonBody(maxBodyBytes, { optional: true }),
    async (request, response) => {
      const id = String(request.params['id']);
      const { reason } = parseBody(skip, request.body ?? {});
      const skipped = await options.skipEvent(id, reason ?? 'skipped by an operator');
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
    case 'not-found':
      throw new Problem(404, 'conversation_not_found', 'no conversation with this id was accepted');
  }
}
