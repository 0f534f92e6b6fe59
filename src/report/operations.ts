import * as z from 'zod';
import { eventStatuses } from '../event/event.ts';
import { friendshipLevels } from '../event/friendship.ts';
import { lanes } from '../event/lane.ts';
import { answerFields, type Operation } from '../runtime/http/index.ts';
import { exportQuery, itemQuery, listQuery, streamQuery } from './query.ts';

const { time, object } = answerFields;
const level = z.enum(friendshipLevels);

const conversationStatus = z
  .object({
    conversation_id: z.string(),
    event_id: z.uuid(),
    user_id: z.string(),
    bot_type: z.string(),
    bot_id: z.string(),
    bot_name: z.string(),
    agent_tag: z.string().nullable(),
    start_time: time,
    end_time: time,
    lane: z.enum(lanes),
    status: z.enum(eventStatuses),
    attempt_count: z.int(),
    created_at: time,
    updated_at: time,
    processed_at: time.nullable(),
    process_after: time.nullable().meta({ description: 'When it was scheduled for; null: at once.' }),
    next_attempt_at: time.nullable(),
    processing: z.object({ attempt_started_at: time.nullable(), worker: z.string().nullable() }).nullable(),
    error: z
      .object({ code: z.string(), details: z.string().nullable() })
      .nullable()
      .meta({ description: 'Of the last attempt that failed.' }),
    result: z
      .object({
        friendship_score_change: z.number(),
        new_friendship_level: level,
        score_calculation_details: object,
      })
      .nullable(),
    conversation_log: z.array(object).nullish().meta({ description: 'With include=log; null once it was removed.' }),
    metadata: object.nullish().meta({ description: 'With include=metadata.' }),
  })
  .meta({ id: 'Conversation' });

const friendship = z
  .object({
    user_id: z.string(),
    friendship_score: z.number(),
    friendship_level: level,
    streak_day: z.int(),
    last_interaction_date: time.nullable(),
    updated_at: time,
    topics: z.array(z.object({ topic_id: z.string(), score: z.number(), turns: z.int(), level, last_date: time })),
  })
  .meta({ id: 'Friendship' });

const cached = z.object({ ETag: z.string(), 'Cache-Control': z.string() });
const unchanged = { what: 'Not modified (If-None-Match).' } as const;

export const reportOperations: readonly Operation[] = [
  {
    id: 'getConversation',
    method: 'get',
    path: '/v1/conversations/{id}',
    scope: 'read',
    tag: 'Conversations',
    summary: 'Status and result of a conversation',
    query: itemQuery,
    requestHeaders: z.object({
      Prefer: z
        .string()
        .optional()
        .meta({ description: '`wait=10`: answer as soon as it is closed, at most after that many seconds (30).' }),
    }),
    answers: {
      200: { what: 'The conversation.', content: { schema: conversationStatus }, headers: cached },
      304: unchanged,
    },
    problems: { 404: ['conversation_not_found'], 422: ['invalid_query'] },
  },
  {
    id: 'listConversations',
    method: 'get',
    path: '/v1/conversations',
    scope: 'read',
    tag: 'Conversations',
    summary: 'Conversations, newest first',
    description: 'A key that is bound to several users has to name one of them.',
    query: listQuery,
    answers: {
      200: {
        what: 'A page.',
        content: {
          schema: z.object({ conversations: z.array(conversationStatus), next_cursor: z.string().nullable() }),
        },
        headers: cached,
      },
      304: unchanged,
    },
    problems: { 422: ['invalid_query'] },
  },
  {
    id: 'exportConversations',
    method: 'get',
    path: '/v1/conversations/export',
    scope: 'read',
    tag: 'Conversations',
    summary: 'All conversations, oldest first',
    description:
      'A conversation per line, as `/v1/conversations/{id}` has it, with a `cursor`: to continue after a line, or ' +
      'later, ask again with the cursor of the last one. Conversations of the last 15 seconds are left to the ' +
      'next export. An answer that breaks off without its last chunk is not complete. With `include`, the scope ' +
      '`admin` is needed. `Accept-Encoding: zstd` or `gzip` compresses.',
    query: exportQuery,
    answers: {
      200: { what: 'A conversation per line.', content: { schema: z.string(), type: 'application/x-ndjson' } },
    },
    problems: { 422: ['invalid_query'] },
  },
  {
    id: 'streamEvents',
    method: 'get',
    path: '/v1/events/stream',
    scope: 'read',
    tag: 'Conversations',
    summary: 'Conversations as they are closed',
    description:
      'Server-sent events: `conversation.processed`, `conversation.failed` and `conversation.skipped`, with the ' +
      'conversation as data. A client that connects again sends the last `id` it has seen as `Last-Event-ID` ' +
      '(browsers do so by themselves), and misses nothing; some may come twice. Without it, the stream begins now.',
    query: streamQuery,
    requestHeaders: z.object({ 'Last-Event-ID': z.string().optional() }),
    answers: {
      200: { what: 'An open-ended stream.', content: { schema: z.string(), type: 'text/event-stream' } },
    },
    problems: { 422: ['invalid_query', 'invalid_request'] },
  },
  {
    id: 'getFriendship',
    method: 'get',
    path: '/v1/users/{id}/friendship',
    scope: 'read',
    tag: 'Users',
    summary: 'Friendship of a user, with its topics',
    answers: { 200: { what: 'The friendship.', content: { schema: friendship }, headers: cached }, 304: unchanged },
    problems: { 404: ['user_not_found'] },
  },
];
