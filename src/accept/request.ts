import * as z from 'zod';
import type { Conversation, Turn } from '../event/conversation.ts';
import { type Lane, lanes } from '../event/lane.ts';
import { type FieldError, fields, notUnicode, Problem } from '../runtime/http/index.ts';
import { parseTime } from '../runtime/parse-time.ts';
import { normaliseLog } from './normalise-log.ts';

/** A checked and normalised request body of `/end` and `/score`. */
export type ConversationRequest = {
  readonly conversationId: string;
  readonly userId: string;
  readonly botType: string;
  readonly botId: string;
  readonly botName: string;
  readonly topicId: string | null;
  readonly startTime: Date;
  readonly endTime: Date;
  readonly turns: readonly Turn[];
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** The lane that the caller asks for; null: none. Not part of what makes two requests the same. */
  readonly priority: Lane | null;
  /** Not to be scored before; null: at once. The same goes for it. */
  readonly processAfter: Date | null;
};

export const maxLogItems = 2_000;
/**
 * Allows for clocks and zones that are hours off. An end any later would stay the user's last interaction until that
 * date, and freeze the streak.
 */
const maxAheadMs = 86_400_000;
/** MariaDB's JSON functions stop at 32 levels; the object that holds the metadata counts as one. */
const maxMetadataDepth = 30;

/** Each item is checked by `normaliseLog`: two thousand of them would take several times as long here. */
const items = z.array(z.unknown(), 'must be a list').max(maxLogItems, `must have at most ${maxLogItems} items`);
/** Far more than any conversation has, and far less than a score can hold: a larger count would only fail later. */
const maxCount = 100_000;
const count = z
  .int('must be a whole number')
  .min(0, 'must not be negative')
  .max(maxCount, `must be at most ${maxCount}`)
  .nullish();

const metadata = z
  .looseObject(
    {
      user_initiated_questions: count,
      new_memories_count: count,
      new_memories_created: count,
    },
    'must be an object',
  )
  .superRefine((value, context) => {
    const found = unstorable(value, []);
    if (found !== null) context.addIssue({ code: 'custom', path: [...found.path], message: found.message });
  });

const { text, time } = fields;

/** Only these fields are read. Unknown ones, and server-owned ones that old clients still send, are ignored. */
export const conversationBody = z.object(
  {
    conversation_id: text(3, 255),
    user_id: text(3, 255),
    bot_type: text(1, 50),
    bot_id: text(1, 255),
    bot_name: text(1, 255),
    agent_tag: text(0, 255).nullish(),
    start_time: time,
    end_time: time,
    conversation_log: items.nullish(),
    conversation_logs: items.nullish(),
    metadata: metadata.nullish(),
    priority: z.enum(lanes, `must be ${lanes.join(', ')}`).nullish(),
    process_after: time.nullish(),
  },
  'must be an object',
);

/** @throws {Problem} 422 that lists every error in the body. */
export function parseConversationRequest(raw: unknown): ConversationRequest {
  const parsed = conversationBody.safeParse(raw);
  const errors: FieldError[] = parsed.success ? [] : parsed.error.issues.map((issue) => toFieldError(issue, raw));
  const given = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>;
  const start = parsed.success ? parsed.data.start_time : timeIn(given['start_time']);
  const end = parsed.success ? parsed.data.end_time : timeIn(given['end_time']);
  if (start && end && end <= start) errors.push({ pointer: '/end_time', detail: 'must be after start_time' });
  if (end && end.getTime() > Date.now() + maxAheadMs)
    errors.push({ pointer: '/end_time', detail: 'must not be more than a day ahead' });

  const field = given['conversation_logs'] != null ? 'conversation_logs' : 'conversation_log';
  if (given['conversation_log'] != null && given['conversation_logs'] != null) {
    errors.push({ pointer: '/conversation_logs', detail: 'is another name of conversation_log: send one of them' });
  }
  const list = given[field];
  if (list == null)
    errors.push({
      pointer: '/conversation_log',
      detail: 'is missing; send [] for a conversation in which nothing was said',
    });
  // Items are checked even when other fields are wrong, so that one answer lists every error.
  const span = { start: start ?? new Date(0), end: end ?? new Date(0) };
  const log =
    Array.isArray(list) && list.length <= maxLogItems ? normaliseLog(list, span, field) : { turns: [], errors: [] };
  errors.push(...log.errors);

  if (errors.length > 0 || !parsed.success) {
    throw new Problem(
      422,
      'invalid_request',
      `the body has ${errors.length} ${errors.length === 1 ? 'error' : 'errors'}`,
      { errors },
    );
  }
  const b = parsed.data;
  return {
    conversationId: b.conversation_id,
    userId: b.user_id,
    botType: b.bot_type,
    botId: b.bot_id,
    botName: b.bot_name,
    topicId: b.agent_tag || null,
    startTime: b.start_time,
    endTime: b.end_time,
    turns: log.turns,
    metadata: b.metadata ?? null,
    priority: b.priority ?? null,
    processAfter: b.process_after ?? null,
  };
}

function timeIn(value: unknown): Date | null {
  return typeof value === 'string' ? parseTime(value) : null;
}

function toFieldError(issue: z.core.$ZodIssue, raw: unknown): FieldError {
  const pointer = issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  let value: unknown = raw;
  for (const part of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[part];
  return { pointer, detail: value === undefined && pointer !== '' ? 'is missing' : issue.message };
}

type Unstorable = { readonly path: readonly string[]; readonly message: string };

/**
 * Finds the first thing in the metadata that the database cannot store. Looks no deeper than is allowed: even a small
 * body can nest deeply.
 */
function unstorable(value: object, path: readonly string[]): Unstorable | null {
  if (path.length >= maxMetadataDepth)
    return { path: [], message: `must not nest deeper than ${maxMetadataDepth} levels` };
  for (const [key, child] of Object.entries(value) as [string, unknown][]) {
    if (!key.isWellFormed())
      return { path, message: 'has a name that is not valid Unicode (half of a surrogate pair)' };
    if (typeof child === 'string' && !child.isWellFormed()) return { path: [...path, key], message: notUnicode };
    if (typeof child !== 'object' || child === null) continue;
    const found = unstorable(child, [...path, key]);
    if (found !== null) return found;
  }
  return null;
}

/** The request in the form that a scorer gets. */
export function toConversation(request: ConversationRequest): Conversation {
  return {
    conversation_id: request.conversationId,
    user_id: request.userId,
    bot_type: request.botType,
    bot_id: request.botId,
    bot_name: request.botName,
    agent_tag: request.topicId,
    start_time: request.startTime.toISOString(),
    end_time: request.endTime.toISOString(),
    metadata: request.metadata,
    conversation_log: request.turns,
  };
}
