import * as z from 'zod';
import { eventStatuses } from '../event/event.ts';
import type { Operation } from '../runtime/http/index.ts';
import { bulkRetry, skip } from './requests.ts';

const operated = z
  .object({ conversation_id: z.string(), event_id: z.uuid(), status: z.enum(eventStatuses) })
  .meta({ id: 'Operated' });
const problems = { 404: ['conversation_not_found'], 409: ['wrong_state'] } as const;

export const operateOperations: readonly Operation[] = [
  {
    id: 'retryConversation',
    method: 'post',
    path: '/v1/conversations/{id}/retry',
    scope: 'operate',
    tag: 'Operations',
    summary: 'Start a FAILED conversation over',
    answers: { 202: { what: 'It is due.', content: { schema: operated } } },
    problems: { ...problems, 409: ['wrong_state', 'text_removed'] },
  },
  {
    id: 'skipConversation',
    method: 'post',
    path: '/v1/conversations/{id}/skip',
    scope: 'operate',
    tag: 'Operations',
    summary: 'Never score a PENDING conversation',
    body: { schema: skip, isOptional: true },
    answers: { 202: { what: 'It is skipped.', content: { schema: operated } } },
    problems: { ...problems, 422: ['invalid_request'] },
  },
  {
    id: 'retryFailed',
    method: 'post',
    path: '/v1/conversations/retry',
    scope: 'operate',
    tag: 'Operations',
    summary: 'Start many FAILED conversations over',
    body: { schema: bulkRetry, examples: { 'by error': { status: 'FAILED', error_code: 'SCORING_TIMEOUT' } } },
    answers: { 202: { what: 'How many are due.', content: { schema: z.object({ retried: z.int() }) } } },
    problems: { 422: ['invalid_request'] },
  },
];
