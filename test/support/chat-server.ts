import { type JsonServer, startJsonServer } from './json-server.ts';

type Asked = {
  readonly model: string;
  readonly temperature: number;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly response_format: { readonly type: string; readonly json_schema: { readonly strict: boolean } };
};
export type ChatServer = JsonServer<Asked>;
type Item = { readonly speaker: string; readonly text: string };

/** What was asked about, by call. */
export function conversationsOf(asked: Asked | undefined): { readonly id: string; readonly items: readonly Item[] }[] {
  const content = asked?.messages.find(({ role }) => role === 'user')?.content ?? '{"conversations":[]}';
  return (JSON.parse(content) as { conversations: { id: string; items: Item[] }[] }).conversations;
}

/** An answer of chat completions with these analyses. */
export function completion(analyses: readonly object[], more: { finish?: string; content?: string } = {}): object {
  return {
    choices: [
      {
        finish_reason: more.finish ?? 'stop',
        message: { role: 'assistant', content: more.content ?? JSON.stringify({ analyses }) },
      },
    ],
    usage: { prompt_tokens: 100 * analyses.length, completion_tokens: 10 * analyses.length },
  };
}

/** Everybody is happy, asked one question, and told two facts. */
export const happy = (id: string) => ({ id, emotion: 'happy', user_questions: 1, new_memories: 2 });

/** A service with OpenAI's chat completions on this machine that can be made to misbehave. */
export function startChatServer(options: { readonly delayMs?: number } = {}): Promise<ChatServer> {
  return startJsonServer<Asked>((asked) => completion(conversationsOf(asked).map(({ id }) => happy(id))), {
    ...options,
    path: '/v1',
  });
}
