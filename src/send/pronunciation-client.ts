import { Agent } from 'undici';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { requireApi } from './api-client.ts';
import { withApiKey } from './api-key.ts';

export type Compared = {
  readonly similarity: number;
  readonly distance: number;
  readonly tokens_1: readonly string[];
  readonly tokens_2: readonly string[];
  readonly alignment: readonly {
    readonly op: 'same' | 'substituted' | 'dropped' | 'inserted';
    readonly phoneme_1: string | null;
    readonly phoneme_2: string | null;
  }[];
  readonly cached: boolean;
};
export type Attempt = Compared | { readonly error: { readonly code: string; readonly detail: string } };

type PronunciationApi = AsyncDisposable & {
  compare(text1: string, text2: string, lang: string | undefined): Promise<Compared>;
  attempts(reference: string, attempts: readonly string[], lang: string | undefined): Promise<readonly Attempt[]>;
};

/** @param base  as `baseOf` returns it. @throws {StartError} if no API answers there, and for what it refuses. */
export async function connectPronunciation(base: string): Promise<PronunciationApi> {
  await requireApi(base);
  const agent = new Agent({ headersTimeout: 120_000 });
  const client = agent.compose(withApiKey);

  async function post<T>(body: object): Promise<T> {
    const { origin, pathname } = new URL(`${base}/v1/pronunciation/similarity`);
    const answer = await client
      .request({
        origin,
        path: pathname,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      .catch((cause: NodeJS.ErrnoException) => {
        throw new StartError(`the API at ${base} went away (${cause.code})`, { cause, mayPass: true });
      });
    const text = await answer.body.text();
    if (answer.statusCode === 200) return JSON.parse(text) as T;
    type Problem = { readonly code?: string; readonly detail?: string; readonly errors?: readonly FieldError[] };
    type FieldError = { readonly pointer: string; readonly detail: string };
    const problem = (text.startsWith('{') ? JSON.parse(text) : {}) as Problem;
    const why = problem.errors?.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; ') ?? problem.detail;
    const refused = `the API refuses (${answer.statusCode} ${problem.code ?? 'no problem document'}): ${why}`;
    if (answer.statusCode < 500) throw new UsageError(refused);
    throw new StartError(refused, { mayPass: true });
  }

  return {
    compare: (text_1, text_2, lang) => post({ text_1, text_2, lang }),
    async attempts(reference, attempts, lang) {
      return (await post<{ attempts: readonly Attempt[] }>({ reference, attempts, lang })).attempts;
    },
    [Symbol.asyncDispose]: () => agent.close(),
  };
}
