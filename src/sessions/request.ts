import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { speakerOf } from '../event/conversation.ts';
import { fields, Problem, parseBody } from '../runtime/http/index.ts';
import { notFound } from './not-found.ts';
import type { EndRequest, NewMessage, SessionHead } from './ports.ts';

/** Ids are parts of Redis keys, and are written to logs. */
const idRule = 'letters, digits and . _ : @ -';
function id(max: number) {
  return z
    .string('must be a string')
    .regex(new RegExp(`^[\\w.:@-]{3,${max}}$`), `must be 3 to ${max} characters of ${idRule}`);
}

/** `sync` is an endpoint. */
const sessionId = id(255).refine((text) => text !== 'sync', 'must not be sync');
const maxMessagesAtOnce = 100;
/** Made once: making it takes longer than using it. */
const messageText = fields.text(0, 100_000);
/** As in accepts: clocks and zones may be hours off. */
const maxAheadMs = 86_400_000;

export const session = z.object(
  {
    session_id: sessionId.nullish(),
    user_id: fields.text(3, 255),
    bot_type: fields.text(1, 50),
    bot_id: fields.text(1, 255),
    bot_name: fields.text(1, 255),
    agent_tag: fields.text(0, 255).nullish(),
  },
  'must be an object',
);

export function parseSession(body: unknown): { readonly head: SessionHead; readonly isNew: boolean } {
  const s = parseBody(session, body);
  const head = {
    sessionId: s.session_id ?? `session_${randomUUID()}`,
    userId: s.user_id,
    botType: s.bot_type,
    botId: s.bot_id,
    botName: s.bot_name,
    topicId: s.agent_tag || null,
    startedAt: new Date(),
  };
  return { head, isNew: s.session_id == null };
}

const roles = ['role', 'speaker', 'character'] as const;
const texts = ['text', 'content'] as const;

/** Besides, who speaks under one of `roles`, and what is said under one of `texts`. */
export const messageShape = z.looseObject(
  { message_id: id(120).nullish(), timestamp: fields.time.nullish() },
  'must be an object',
);

const message = messageShape.transform((m, context): NewMessage => {
  const role = only(m, roles, context);
  const speaker = role === undefined ? null : roleOf(m[role]);
  if (role !== undefined && speaker === null)
    context.addIssue({
      code: 'custom',
      path: [role],
      message: 'must name the user (user) or the bot (bot, assistant)',
    });
  const key = only(m, texts, context);
  const text =
    key === undefined
      ? ''
      : textOf(m[key], (detail) => context.addIssue({ code: 'custom', path: [key], message: detail }));
  const sentAt = m.timestamp ?? new Date();
  if (sentAt.getTime() > Date.now() + maxAheadMs)
    context.addIssue({ code: 'custom', path: ['timestamp'], message: 'must not be more than a day ahead' });
  return {
    messageId: m.message_id ?? randomUUID(),
    isNamed: m.message_id != null,
    role: speaker ?? 'user',
    text,
    sentAt,
  };
});

export const list = z.object(
  {
    messages: z
      .array(message, 'must be a list')
      .min(1, 'must not be empty')
      .max(maxMessagesAtOnce, `must have at most ${maxMessagesAtOnce} messages`)
      .refine(
        (messages) => new Set(messages.map((m) => m.messageId)).size === messages.length,
        'has the same message_id twice',
      ),
  },
  'must be an object',
);

/** One message, or a list of them under `messages`. */
export function parseMessages(body: unknown): { readonly messages: readonly NewMessage[]; readonly isList: boolean } {
  const isList = typeof body === 'object' && body !== null && 'messages' in body;
  return { messages: isList ? parseBody(list, body).messages : [parseBody(message, body)], isList };
}

export const end = z.object(
  {
    session_id: z.string().nullish(),
    user_id: z.string('must be a string').nullish(),
    conversation_id: fields.text(3, 255).nullish(),
    end_time: fields.time.nullish(),
    metadata: z.record(z.string(), z.unknown(), 'must be an object').nullish(),
  },
  'must be an object',
);

export const page = z.strictObject({
  cursor: z
    .string('must be given once')
    .regex(/^\d{1,9}$/, 'must be the next_cursor of an earlier answer')
    .transform(Number)
    .default(0),
  limit: fields.limit(100),
});

/** What `POST …/end` asks for. Unless it names one, the conversation has the session's id. */
export function parseEnd(sessionId: string, body: unknown): EndRequest {
  const e = parseBody(end, body ?? {});
  if (e.session_id != null && e.session_id !== sessionId)
    throw new Problem(422, 'invalid_request', 'the body names another session than the path', {
      errors: [{ pointer: '/session_id', detail: 'must be the id in the path, or left out' }],
    });
  return {
    conversationId: e.conversation_id ?? sessionId,
    endTime: e.end_time?.toISOString() ?? null,
    // As it will be read again: JSON has no -0, and no number as large as 1e400.
    metadata: JSON.parse(JSON.stringify(e.metadata ?? null)) as EndRequest['metadata'],
    userId: e.user_id ?? null,
  };
}

/** @throws {Problem} 404: there cannot be a session with such an id. */
export function requireSessionId(text: unknown): string {
  const parsed = sessionId.safeParse(text);
  if (parsed.success) return parsed.data;
  throw notFound();
}

/** Clients name the same thing differently; two names at once would be a contradiction. */
function only<K extends string>(
  value: Readonly<Record<string, unknown>>,
  names: readonly K[],
  context: z.RefinementCtx,
): K | undefined {
  const given = names.filter((name) => value[name] !== undefined);
  if (given.length === 1) return given[0];
  const [first = ''] = names;
  context.addIssue({
    code: 'custom',
    path: [first],
    message: given.length === 0 ? 'is missing' : `is given ${given.length} times: as ${given.join(', ')}`,
  });
  return undefined;
}

function roleOf(value: unknown): NewMessage['role'] | null {
  if (typeof value !== 'string') return null;
  if (value.toLowerCase() === 'assistant') return 'bot';
  const speaker = speakerOf(value);
  return speaker === null ? null : speaker === 'user' ? 'user' : 'bot';
}

function textOf(value: unknown, refuse: (detail: string) => void): string {
  const parsed = messageText.safeParse(value);
  const text = parsed.data?.trim() ?? '';
  if (!parsed.success) refuse(parsed.error.issues[0]?.message ?? 'is invalid');
  else if (text === '') refuse('must not be blank');
  return text;
}
