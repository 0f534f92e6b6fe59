import { Agent, interceptors } from 'undici';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { requireApi } from './api-client.ts';
import { withApiKey } from './api-key.ts';

type MessageView = {
  readonly message_id: string;
  readonly position: number;
  readonly role: string;
  readonly text: string;
  readonly timestamp: string;
};
export type SessionView = {
  readonly session_id: string;
  readonly messages: number;
  readonly question_count: number;
  readonly pending: number;
  readonly synced: number;
  readonly history?: readonly MessageView[];
};
type Problem = { readonly code?: string; readonly detail?: string; readonly errors?: readonly FieldError[] };
type FieldError = { readonly pointer: string; readonly detail: string };
type Answer = { readonly position: number; readonly question_count: number; readonly reply?: MessageView | null };

/** Live sessions of an API. Null: there is no such session. @throws {StartError} for what the API refuses. */
export type SessionsApi = AsyncDisposable & {
  create(sessionId: string, userId: string): Promise<SessionView>;
  say(
    sessionId: string,
    message: { readonly message_id: string; readonly role: 'user' | 'bot'; readonly text: string },
  ): Promise<Answer>;
  session(sessionId: string): Promise<SessionView | null>;
  stats(sessionId: string): Promise<Record<string, unknown> | null>;
  messages(sessionId: string): Promise<readonly MessageView[]>;
  /** @returns messages that were written. */
  sync(): Promise<number>;
};

/** @param base  as `baseOf` returns it. @throws {StartError} if no API with live sessions answers there. */
export async function connectSessions(base: string): Promise<SessionsApi> {
  await requireApi(base);
  const agent = new Agent({ headersTimeout: 60_000 });
  const client = agent.compose(
    withApiKey,
    interceptors.retry({
      maxRetries: 4,
      minTimeout: 200,
      maxTimeout: 1_000,
      methods: ['GET', 'POST'],
      throwOnError: false,
    }),
  );

  async function call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T | null> {
    const { origin, pathname, search } = new URL(`${base}${path}`);
    const answer = await client.request({
      origin,
      path: pathname + search,
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    if (answer.statusCode < 300) return JSON.parse(text) as T;
    const problem = (text.startsWith('{') ? JSON.parse(text) : {}) as Problem;
    if (problem.code === 'session_not_found') return null;
    if (problem.code === 'no_such_endpoint')
      throw new StartError(
        `the API at ${base} has no live sessions: start it with REDIS_URL, or scripts/up --sessions`,
      );
    const why =
      problem.errors?.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; ') ?? problem.detail ?? text;
    const refused = `the API refuses (${answer.statusCode} ${problem.code ?? 'no problem document'}): ${why}`;
    throw answer.statusCode < 500 ? new UsageError(refused) : new StartError(refused, { mayPass: true });
  }
  const there = async <T>(answer: Promise<T | null>, what: string): Promise<T> => {
    const got = await answer;
    if (got === null) throw new StartError(`there is no session ${what}`);
    return got;
  };
  const at = (sessionId: string, what = '') => `/v1/sessions/${encodeURIComponent(sessionId)}${what}`;

  return {
    create: (sessionId, userId) =>
      there(
        call<SessionView>('POST', '/v1/sessions', {
          ...{ session_id: sessionId, user_id: userId, bot_type: 'TALK', bot_id: 'try', bot_name: 'Try' },
        }),
        sessionId,
      ),
    say: (sessionId, message) => there(call<Answer>('POST', at(sessionId, '/messages'), message), sessionId),
    session: (sessionId) => call<SessionView>('GET', at(sessionId)),
    stats: (sessionId) => call('GET', at(sessionId, '/stats')),
    async messages(sessionId) {
      const all: MessageView[] = [];
      for (let cursor: string | null = '0'; cursor !== null; ) {
        const page: { messages: MessageView[]; next_cursor: string | null } = await there(
          call('GET', at(sessionId, `/messages?cursor=${cursor}&limit=200`)),
          sessionId,
        );
        all.push(...page.messages);
        cursor = page.next_cursor;
      }
      return all;
    },
    sync: async () => (await there(call<{ synced: number }>('POST', '/v1/sessions/sync'), 'to sync')).synced,
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}
