import * as z from 'zod';
import { maxTargetLength } from '../event/conversation.ts';
import { answerFields, fields, type Operation } from '../runtime/http/index.ts';
import { conversationBody, maxLogItems } from './request.ts';

const target = z.string().max(maxTargetLength).nullish().meta({ description: 'What the user was asked to say.' });
const timestamp = fields.time.nullish();

/** What `normaliseLog` takes: a test compares the two, through the document. */
const logItem = z
  .union([
    z.looseObject({
      speaker: z.string().meta({ description: 'PIKA or BOT, USER; any case.' }),
      text: z.string().nullable().meta({ description: 'Blank, or null: silence, which is dropped.' }),
      timestamp,
      target_text: target,
    }),
    z.looseObject({ character: z.string(), content: z.string().nullable(), timestamp, target_text: target }),
  ])
  .meta({ id: 'LogItem' });
const log = z.array(logItem).max(maxLogItems);

const conversation = conversationBody
  .extend({
    conversation_log: log.optional().meta({ description: '[] for a conversation in which nothing was said.' }),
    conversation_logs: log.optional().meta({ description: 'Another name of conversation_log.' }),
    priority: conversationBody.shape.priority.meta({
      description: 'Its lane. Default: as the service is configured, or normal.',
    }),
    process_after: conversationBody.shape.process_after.meta({
      description: 'Accepted now, scored at this time or soon after; at most SCHEDULE_MAX_DAYS (30) ahead.',
    }),
  })
  .meta({ id: 'ConversationEnd' });

const sessionEnd = z
  .object({
    session_id: z.string(),
    user_id: z.string().nullish(),
    conversation_id: fields.text(3, 255).nullish(),
    end_time: fields.time.nullish(),
    metadata: z.record(z.string(), z.unknown()).nullish(),
  })
  .meta({ id: 'SessionEnd', description: 'In place of a log: the conversation is the one that the session holds.' });

/** An accepted conversation; also the end of a live session. */
export const accepted = z
  .object({
    status: z.literal('accepted'),
    message: z.string(),
    conversation_id: z.string(),
    event_id: z.uuid(),
  })
  .meta({ id: 'Accepted' });

export const acceptedHeaders = z.object({
  Location: z.string().meta({ description: 'Where its status is.' }),
  'Retry-After': z.string().meta({ description: 'Seconds after which it is worth asking.' }),
  'Idempotency-Replayed': z.literal('true').optional().meta({ description: 'It was accepted before.' }),
});

const example = {
  conversation_id: 'conv_example',
  user_id: 'user_example',
  bot_type: 'TALK',
  bot_id: 'talk_a',
  bot_name: 'Pika',
  agent_tag: 'pets',
  start_time: '2026-01-31T20:00:00Z',
  end_time: '2026-01-31T20:15:00Z',
  conversation_log: [
    { speaker: 'pika', text: 'Hi! What did you do today?' },
    { speaker: 'user', text: 'I played with my dog. Do you like dogs?' },
  ],
};

export const acceptOperations: readonly Operation[] = [
  {
    id: 'endConversation',
    method: 'post',
    path: '/v1/conversations/end',
    scope: 'submit',
    tag: 'Conversations',
    summary: 'Accept a finished conversation',
    description:
      'Answers once the conversation is stored; it is scored afterwards. The same request again is a replay, and ' +
      'counts once.',
    body: { schema: z.union([conversation, sessionEnd]), examples: { conversation: example } },
    answers: { 202: { what: 'Accepted.', content: { schema: accepted }, headers: acceptedHeaders } },
    problems: {
      404: ['session_not_found'],
      409: ['conversation_exists', 'session_ended'],
      422: ['invalid_request', 'no_sessions', 'not_storable', 'conversation_too_old'],
      503: ['redis_unavailable', 'redis_restarted', 'session_not_closed', 'session_not_stored'],
    },
  },
  {
    id: 'endConversations',
    method: 'post',
    path: '/v1/conversations/end/batch',
    scope: 'submit',
    tag: 'Conversations',
    summary: 'Accept many conversations',
    description:
      'A body of `/v1/conversations/end` per line. There is an answer per line, in the same order, as soon as it is ' +
      'accepted: `{line, status, replayed, body}`, where `status` and `body` are those of a single call. Read ' +
      'answers while you send: no more lines are read than you read answers. Blank lines are ignored. If the ' +
      'connection ends early, send the lines without an answer again.',
    body: {
      schema: z.string(),
      type: 'application/x-ndjson',
      examples: {
        'two lines': ['conv_example_1', 'conv_example_2']
          .map((conversation_id) => `${JSON.stringify({ ...example, conversation_id })}\n`)
          .join(''),
      },
    },
    answers: { 200: { what: 'An answer per line.', content: { schema: z.string(), type: 'application/x-ndjson' } } },
  },
  {
    id: 'scoreConversation',
    method: 'post',
    path: '/v1/conversations/score',
    scope: 'submit',
    tag: 'Conversations',
    summary: 'Score a conversation without storing it',
    body: { schema: conversation, examples: { conversation: example } },
    answers: {
      200: { what: 'What `score_calculation_details` would be.', content: { schema: answerFields.object } },
    },
    problems: {
      422: ['invalid_request'],
      500: ['scorer_failed'],
      503: ['no_threads', 'pool_closed', 'thread_ended', 'phonemes_unavailable'],
    },
  },
];
