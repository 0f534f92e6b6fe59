import * as z from 'zod';
import { noticeTypes } from '../event/notice.ts';
import { answerFields, type Operation } from '../runtime/http/index.ts';
import { deliveryQuery, endpointChange, newEndpoint, replay, rotation } from './request.ts';

const { time } = answerFields;
const tag = 'Webhooks';
const scope = 'admin';
const type = z.enum(noticeTypes);
const endpoint = z
  .object({
    endpoint_id: z.string(),
    url: z.string(),
    description: z.string().nullable(),
    types: z.array(type),
    user: z
      .string()
      .nullable()
      .meta({ description: 'A user, or the beginning of ids followed by *; null: every user.' }),
    state: z.enum(['enabled', 'disabled']),
    disabled_why: z.string().nullable(),
    failing_since: time.nullable(),
    created_at: time,
  })
  .meta({ id: 'Webhook' });
const secret = z.string().meta({ description: '`whsec_…`, shown only now.' });
const delivery = z
  .object({
    delivery_id: z.int(),
    event_id: z.uuid(),
    type,
    state: z.enum(['PENDING', 'DELIVERED', 'FAILED']),
    attempt_count: z.int(),
    next_attempt_at: time.nullable(),
    attempts: z
      .array(z.object({ at: time, ms: z.number(), status: z.int().nullable(), error: z.string().nullable() }))
      .meta({ description: 'The latest ten.' }),
    created_at: time,
    closed_at: time.nullable(),
  })
  .meta({ id: 'Delivery' });
const notFound = { 404: ['webhook_not_found'] } as const;
const invalid = { ...notFound, 422: ['invalid_request'] } as const;

export const webhookOperations: readonly Operation[] = [
  {
    id: 'createWebhook',
    method: 'post',
    path: '/v1/webhooks',
    scope,
    tag,
    summary: 'Register an endpoint',
    description:
      'It is told of conversations that are closed from a few seconds later on, as Standard Webhooks has it: signed, ' +
      'repeated for three days until it answers with 2xx, at least once.',
    body: {
      schema: newEndpoint,
      examples: { endpoint: { url: 'https://example.com/afterword', types: ['conversation.processed'] } },
    },
    answers: {
      201: {
        what: 'Registered.',
        content: { schema: endpoint.extend({ secret }).meta({ id: 'NewWebhook' }) },
        headers: z.object({ Location: z.string() }),
      },
    },
    problems: { 409: ['webhook_exists'], 422: ['invalid_request', 'too_many_webhooks'] },
  },
  {
    id: 'listWebhooks',
    method: 'get',
    path: '/v1/webhooks',
    scope,
    tag,
    summary: 'All endpoints',
    answers: { 200: { what: 'The endpoints.', content: { schema: z.object({ webhooks: z.array(endpoint) }) } } },
  },
  {
    id: 'getWebhook',
    method: 'get',
    path: '/v1/webhooks/{id}',
    scope,
    tag,
    summary: 'An endpoint',
    answers: { 200: { what: 'The endpoint.', content: { schema: endpoint } } },
    problems: notFound,
  },
  {
    id: 'changeWebhook',
    method: 'patch',
    path: '/v1/webhooks/{id}',
    scope,
    tag,
    summary: 'Change, disable or enable an endpoint',
    body: { schema: endpointChange },
    answers: { 200: { what: 'As it is now.', content: { schema: endpoint } } },
    problems: invalid,
  },
  {
    id: 'deleteWebhook',
    method: 'delete',
    path: '/v1/webhooks/{id}',
    scope,
    tag,
    summary: 'Delete an endpoint: nothing more is sent to it',
    answers: { 204: { what: 'It is gone.' } },
    problems: notFound,
  },
  {
    id: 'rotateWebhookSecret',
    method: 'post',
    path: '/v1/webhooks/{id}/rotate',
    scope,
    tag,
    summary: 'Another secret; both sign for a while',
    body: { schema: rotation, isOptional: true },
    answers: { 200: { what: 'The new one.', content: { schema: z.object({ secret }) } } },
    problems: invalid,
  },
  {
    id: 'testWebhook',
    method: 'post',
    path: '/v1/webhooks/{id}/test',
    scope,
    tag,
    summary: 'Send a test message now',
    answers: {
      200: {
        what: 'How it was answered.',
        content: {
          schema: z.object({
            delivered: z.boolean(),
            status: z.int().nullable(),
            error: z.string().nullable(),
            ms: z.number(),
          }),
        },
      },
    },
    problems: notFound,
  },
  {
    id: 'listDeliveries',
    method: 'get',
    path: '/v1/webhooks/{id}/deliveries',
    scope,
    tag,
    summary: 'Deliveries with their attempts, newest first',
    query: deliveryQuery,
    answers: {
      200: {
        what: 'A page.',
        content: { schema: z.object({ deliveries: z.array(delivery), next_cursor: z.string().nullable() }) },
      },
    },
    problems: { ...notFound, 422: ['invalid_query'] },
  },
  {
    id: 'replayDeliveries',
    method: 'post',
    path: '/v1/webhooks/{id}/replay',
    scope,
    tag,
    summary: 'Make deliveries again: by id, by state, or of a time',
    description: 'Ten thousand at once; the rest with the same selection and the `next_cursor` as `cursor`.',
    body: { schema: replay, examples: { failed: { state: 'FAILED' } } },
    answers: {
      202: {
        what: 'How many are due.',
        content: { schema: z.object({ replayed: z.int(), next_cursor: z.string().nullable() }) },
      },
    },
    problems: invalid,
  },
];
