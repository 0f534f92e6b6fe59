import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { Analysis, Conversation } from '../event/conversation.ts';
import { gather } from '../runtime/gather.ts';
import type { Logger } from '../runtime/log.ts';
import { createRemote, RemoteError, type RemoteReason } from '../runtime/remote/remote.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBudget } from './budget.ts';
import type { Analyser } from './ports.ts';

const emotions = ['interesting', 'boring', 'neutral', 'angry', 'happy', 'sad'] as const;
/** More than one conversation can hold. */
const mostCounted = 2_000;
const count = z.int().min(0).max(mostCounted);
const analysis = z.object({ id: z.string(), emotion: z.enum(emotions), user_questions: count, new_memories: count });
const answer = z.object({
  choices: z
    .array(z.object({ finish_reason: z.string().nullish(), message: z.object({ content: z.string() }) }))
    .min(1),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
});
const content = z.object({ analyses: z.array(analysis) });

/** What the model must answer, as JSON Schema (structured outputs). */
const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['analyses'],
  properties: {
    analyses: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['id', 'emotion', 'user_questions', 'new_memories'],
        properties: {
          id: { type: 'string' },
          emotion: { type: 'string', enum: emotions },
          user_questions: { type: 'integer' },
          new_memories: { type: 'integer' },
        },
      },
    },
  },
} as const;

/** An answer is short; this is for budgets, before it is known. */
const tokensOfAnswer = 60;
/** A model has read nothing. */
const unspent: ReadonlySet<RemoteReason> = new Set(['open', 'connection', 'status', 'refused', 'busy']);
/** About how many bytes a token has, in the languages that need the most of them. */
const bytesOfToken = 3;

export type OpenAiOptions = {
  /** Up to and without `/chat/completions`. */
  readonly url: string;
  readonly key: string | null;
  readonly model: string;
  readonly promptFile: string | null;
  readonly connections: number;
  readonly deadlineMs: number;
  /** Conversations of one call. */
  readonly batch: number;
  readonly batchWaitMs: number;
  /** Of this process; 0: no limit. */
  readonly tokensPerMinute: number;
  readonly tokensPerDay: number;
  readonly openMs?: number;
  readonly log: Logger;
};

/**
 * Any service with OpenAI's chat completions and structured outputs. Conversations go without ids of users; several of
 * them may share a call.
 *
 * @throws {Error} if the prompt cannot be read.
 */
export function openAi(options: OpenAiOptions): Analyser {
  const { url, key, model, deadlineMs, batch, batchWaitMs, log } = options;
  const prompt = readFileSync(options.promptFile ?? new URL('prompt.txt', import.meta.url), 'utf8');
  const remote = createRemote({
    name: 'the analyser',
    gauge: 'analyser_calls',
    url: `${url.replace(/\/+$/, '')}/chat/completions`,
    connections: options.connections,
    deadlineMs,
    ...(options.openMs !== undefined && { openMs: options.openMs }),
    ...(key !== null && { headers: { authorization: `Bearer ${key}` } }),
    log,
  });
  const budget = createBudget({ perMinute: options.tokensPerMinute, perDay: options.tokensPerDay });

  function ask(asked: string, conversations: readonly Conversation[]) {
    return remote.post(
      {
        model,
        temperature: 0,
        messages: [
          { role: 'system', content: prompt },
          { role: 'user', content: asked },
        ],
        response_format: { type: 'json_schema', json_schema: { name: 'analyses', strict: true, schema } },
      },
      (given) => readAnswer(given, conversations),
    );
  }

  async function analyseAll(conversations: readonly Conversation[]): Promise<Analysis[]> {
    const asked = JSON.stringify({ conversations: conversations.map(toAsked) });
    const estimated = Math.ceil((prompt.length + asked.length) / bytesOfToken) + tokensOfAnswer * conversations.length;
    const settle = await budget.take(estimated, deadlineMs);
    const { analyses, usage } = await ask(asked, conversations).catch(async (error: unknown) => {
      if (error instanceof RemoteError && unspent.has(error.reason)) await settle(0);
      throw error;
    });
    if (usage != null) {
      await settle(usage.prompt_tokens + usage.completion_tokens);
      telemetry.analysed.tell({
        prompt: usage.prompt_tokens,
        completion: usage.completion_tokens,
        conversations: conversations.length,
      });
    }
    return analyses;
  }

  const analyse = gather(analyseAll, { most: batch, waitMs: batch === 1 ? 0 : batchWaitMs, kindOf: () => '' });
  return {
    name: 'openai',
    version: '1',
    sendsTo: new URL(url).origin,
    analyse: (conversation) => analyse(conversation),
    close: () => remote.close(),
  };
}

/** Ids of calls are numbers: the model need not know those of users or conversations. */
function toAsked({ conversation_log }: Conversation, i: number) {
  return {
    id: String(i),
    items: conversation_log.map(({ speaker, text }) => ({ speaker: speaker === 'pika' ? 'robot' : 'user', text })),
  };
}

/** @throws {Error} if it is not what was agreed, was cut off, or counts more than there is. */
function readAnswer(given: unknown, conversations: readonly Conversation[]) {
  const { choices, usage } = answer.parse(given);
  const [choice] = choices;
  if (choice === undefined || choice.finish_reason === 'length') throw new Error('cut off');
  const found = new Map(
    content.parse(JSON.parse(choice.message.content)).analyses.map(({ id, ...one }) => [id, one] as const),
  );
  const analyses = conversations.map(({ conversation_log }, i): Analysis => {
    const one = found.get(String(i));
    const items = conversation_log.filter(({ speaker }) => speaker === 'user').length;
    if (one === undefined || one.user_questions > items) throw new Error('not an analysis of what was asked');
    return { emotion: one.emotion, userQuestions: one.user_questions, newMemories: one.new_memories };
  });
  return { analyses, usage };
}
