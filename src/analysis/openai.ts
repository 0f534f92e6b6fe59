import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { Analysis, Conversation } from '../event/conversation.ts';
import { gather } from '../runtime/gather.ts';
import type { Logger } from '../runtime/log.ts';
import { createRemote, RemoteError } from '../runtime/remote/remote.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBudget } from './budget.ts';
import type { Analyser } from './ports.ts';

const emotions = ['interesting', 'boring', 'neutral', 'angry', 'happy', 'sad'] as const;
/** More than one conversation can hold. */
const mostCounted = 2_000;
/** More than anybody says in one breath. */
const memoriesOfItem = 5;
const count = z.int().min(0).max(mostCounted);
const analysis = z.object({ id: z.string(), emotion: z.enum(emotions), user_questions: count, new_memories: count });
const answer = z.object({
  choices: z
    .array(
      z.object({
        finish_reason: z.string().nullish(),
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
      }),
    )
    .min(1),
});
const usage = z.object({ usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }) });
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
    url: endpointOf(url),
    mayConfuse: true,
    connections: options.connections,
    deadlineMs,
    ...(options.openMs !== undefined && { openMs: options.openMs }),
    ...(key !== null && { headers: { authorization: `Bearer ${key}` } }),
    log,
  });
  const budget = createBudget({ perMinute: options.tokensPerMinute, perDay: options.tokensPerDay });

  /** Counts what it costs, whatever becomes of it; repeats cost, too. */
  async function ask(conversations: readonly Conversation[]): Promise<Analysis[]> {
    // Ids that nobody can guess: what is said in one conversation must not answer for another.
    const ids = conversations.map(() => randomBytes(4).toString('hex'));
    const asked = JSON.stringify({ conversations: conversations.map((one, i) => toAsked(one, ids[i] ?? '')) });
    const estimated = Math.ceil((prompt.length + asked.length) / bytesOfToken) + tokensOfAnswer * conversations.length;
    const settle = await budget.take(estimated, deadlineMs);
    let spent = 0;
    /** Attempts that a model has probably read, and has not counted. */
    let uncounted = 0;
    let isCounted = false;
    let wasRead = false;
    const note = (given: unknown) => {
      wasRead = true;
      const tokens = usage.safeParse(given).data?.usage;
      isCounted = tokens !== undefined;
      if (tokens === undefined) return;
      spent += tokens.prompt_tokens + tokens.completion_tokens;
      const { prompt_tokens, completion_tokens } = tokens;
      const { length } = conversations;
      telemetry.analysed.tell({ prompt: prompt_tokens, completion: completion_tokens, conversations: length });
    };
    const body = {
      model,
      temperature: 0,
      messages: [
        { role: 'system', content: prompt },
        { role: 'user', content: asked },
      ],
      response_format: { type: 'json_schema', json_schema: { name: 'analyses', strict: true, schema } },
    };
    try {
      return await remote.post(
        body,
        (given) => {
          note(given);
          return readAnswer(given, ids, conversations);
        },
        {
          onSend() {
            isCounted = false;
            wasRead = false;
            uncounted++;
          },
          onEnd(outcome) {
            const isRead = wasRead || outcome === 'timeout' || outcome === 'garbage';
            if (isCounted || !isRead) uncounted--;
          },
        },
      );
    } finally {
      await settle(spent + uncounted * estimated);
    }
  }

  /** One conversation that is refused, or confuses the model, must not cost the others of its call. */
  async function analyseAll(conversations: readonly Conversation[]): Promise<PromiseSettledResult<Analysis>[]> {
    try {
      return (await ask(conversations)).map((value) => ({ status: 'fulfilled', value }));
    } catch (error) {
      const isAboutOne = error instanceof RemoteError && (error.reason === 'refused' || error.reason === 'garbage');
      if (!isAboutOne || conversations.length === 1) throw error;
      return Promise.allSettled(conversations.map(async (one) => (await ask([one]))[0] as Analysis));
    }
  }

  const analyse = gather(analyseAll, { most: batch, waitMs: batch === 1 ? 0 : batchWaitMs, kindOf: () => '' });
  return {
    name: 'openai',
    version: '1',
    boundsItself: true,
    sendsTo: new URL(url).origin,
    async analyse(conversation) {
      const result = await analyse(conversation);
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    },
    close: () => remote.close(),
  };
}

/** The model need not know the ids of users or conversations. */
function toAsked({ conversation_log }: Conversation, id: string) {
  return {
    id,
    items: conversation_log.map(({ speaker, text }) => ({ speaker: speaker === 'pika' ? 'robot' : 'user', text })),
  };
}

/**
 * Counts are cut to what the conversation can hold: a model that counts badly is no reason to count on our own.
 *
 * @throws {Error} if it is not what was agreed, was cut off, or does not name each id once.
 * @throws {RemoteError} refused, if the model does not want to answer.
 */
function readAnswer(given: unknown, ids: readonly string[], conversations: readonly Conversation[]): Analysis[] {
  const [choice] = answer.parse(given).choices;
  if (choice === undefined || choice.finish_reason === 'length') throw new Error('cut off');
  const { content: text, refusal } = choice.message;
  if (choice.finish_reason === 'content_filter' || typeof refusal === 'string' || text == null)
    throw new RemoteError('refused', 'the model does not want to answer');
  const { analyses } = content.parse(JSON.parse(text));
  const found = new Map(analyses.map(({ id, ...one }) => [id, one] as const));
  if (found.size !== analyses.length || analyses.length !== ids.length) throw new Error('not one analysis for each id');
  return ids.map((id, i) => {
    const one = found.get(id);
    if (one === undefined) throw new Error('an id is missing');
    const items = conversations[i]?.conversation_log.filter(({ speaker }) => speaker === 'user').length ?? 0;
    return {
      emotion: one.emotion,
      userQuestions: Math.min(one.user_questions, items),
      newMemories: Math.min(one.new_memories, items * memoriesOfItem),
    };
  });
}

/** In the path: there may be a query after it. */
function endpointOf(base: string): string {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/chat/completions`;
  return url.href;
}
