import * as z from 'zod';
import { answerFields, type Operation } from '../runtime/http/index.ts';
import { end, list, messageShape, page, session } from './request.ts';

const { time } = answerFields;
const tag = 'Live sessions';
const states = z.enum(['open', 'ending', 'ended']);

const view = z.object({
  session_id: z.string(),
  user_id: z.string(),
  bot_type: z.string(),
  bot_id: z.string(),
  bot_name: z.string(),
  agent_tag: z.string().nullable(),
  state: states,
  question_count: z.int(),
  messages: z.int(),
  pending: z.int().meta({ description: 'Not in the database yet.' }),
  synced: z.int(),
  started_at: time,
  last_activity_at: time,
  conversation_id: z.string().nullable(),
  event_id: z.uuid().nullable(),
});
const begun = z.union([view, z.object({ session_id: z.string() })]).meta({ id: 'SessionBegun' });
const message = z
  .object({
    message_id: z.string(),
    position: z.int(),
    role: z.enum(['user', 'bot']),
    text: z.string(),
    timestamp: time,
  })
  .meta({ id: 'Message' });
const taken = { message_id: z.string(), position: z.int(), question_count: z.int() };
const reply = {
  reply: message.nullish().meta({ description: 'With a RESPONDER_MODULE.' }),
  reply_error: z.object({ code: z.string(), detail: z.string() }).optional(),
};
const answered = z
  .union([z.object({ ...taken, ...reply }), z.object({ messages: z.array(z.object(taken)), ...reply })])
  .meta({ id: 'MessagesTaken' });
const location = z.object({ Location: z.string() });
/** While Redis is away, or has just come back. */
const away = ['redis_unavailable', 'redis_restarted', 'session_not_closed', 'session_not_stored'] as const;
const notFound = { 404: ['session_not_found'], 503: away } as const;

const example = { user_id: 'user_example', bot_type: 'TALK', bot_id: 'talk_a', bot_name: 'Pika' };

/** @param accepted  how an end is answered, like that of a conversation that comes whole. */
export function sessionOperations(accepted: { readonly body: z.ZodType; readonly headers: z.ZodObject }): Operation[] {
  return [
    {
      id: 'beginSession',
      method: 'post',
      path: '/v1/sessions',
      scope: 'submit',
      tag,
      summary: 'Begin a session',
      body: { schema: session, examples: { session: example } },
      answers: {
        200: { what: 'It had begun before.', content: { schema: begun }, headers: location },
        201: { what: 'It has begun.', content: { schema: begun }, headers: location },
      },
      problems: { 409: ['session_exists'], 422: ['invalid_request'], 503: away },
    },
    {
      id: 'sendMessages',
      method: 'post',
      path: '/v1/sessions/{id}/messages',
      scope: 'submit',
      tag,
      summary: 'Send a message, or several',
      body: { schema: z.union([messageShape, list]), examples: { message: { role: 'user', text: 'Hello!' } } },
      answers: {
        200: { what: 'Taken, and answered.', content: { schema: answered } },
        202: { what: 'Taken.', content: { schema: answered } },
      },
      problems: {
        ...notFound,
        409: ['session_ended', 'session_full'],
        422: ['invalid_request', 'too_many_messages_at_once'],
        429: ['too_many_messages'],
        503: [...away, 'too_much_pending'],
      },
    },
    {
      id: 'getSession',
      method: 'get',
      path: '/v1/sessions/{id}',
      scope: 'read',
      tag,
      summary: 'A session, with its last ten messages',
      answers: {
        200: {
          what: 'The session.',
          content: { schema: view.extend({ history: z.array(message) }).meta({ id: 'Session' }) },
        },
      },
      problems: notFound,
    },
    {
      id: 'listMessages',
      method: 'get',
      path: '/v1/sessions/{id}/messages',
      scope: 'read',
      tag,
      summary: 'Messages of a session, in order',
      query: page,
      answers: {
        200: {
          what: 'A page.',
          content: { schema: z.object({ messages: z.array(message), next_cursor: z.string().nullable() }) },
        },
      },
      problems: { ...notFound, 422: ['invalid_query'] },
    },
    {
      id: 'getSessionStats',
      method: 'get',
      path: '/v1/sessions/{id}/stats',
      scope: 'read',
      tag,
      summary: 'Counts of a session',
      answers: {
        200: {
          what: 'The counts.',
          content: {
            schema: z.object({
              session_id: z.string(),
              state: states,
              messages: z.int(),
              user_messages: z.int(),
              bot_messages: z.int(),
              question_count: z.int(),
              pending: z.int(),
              synced: z.int(),
              started_at: time,
              last_activity_at: time,
              duration_seconds: z.number(),
              messages_per_minute: z.number().nullable(),
            }),
          },
        },
      },
      problems: notFound,
    },
    {
      id: 'endSession',
      method: 'post',
      path: '/v1/sessions/{id}/end',
      scope: 'submit',
      tag,
      summary: 'End a session: its conversation is accepted',
      body: { schema: end, isOptional: true },
      answers: { 202: { what: 'Accepted.', content: { schema: accepted.body }, headers: accepted.headers } },
      problems: {
        ...notFound,
        409: ['conversation_exists', 'session_ended'],
        422: ['invalid_request', 'not_storable'],
      },
    },
    {
      id: 'syncSessions',
      method: 'post',
      path: '/v1/sessions/sync',
      scope: 'operate',
      tag: 'Operations',
      summary: 'Write all pending messages to the database now',
      answers: { 200: { what: 'How many were written.', content: { schema: z.object({ synced: z.int() }) } } },
      problems: { 503: away },
    },
    {
      id: 'syncNow',
      method: 'get',
      path: '/sync_now',
      scope: 'operate',
      tag: 'Operations',
      summary: 'The same for older callers',
      isDeprecated: true,
      answers: {
        200: {
          what: 'How many were written, in Vietnamese.',
          content: { schema: z.object({ message: z.string() }) },
          headers: z.object({ Deprecation: z.string(), Link: z.string() }),
        },
      },
      problems: { 503: away },
    },
  ];
}
