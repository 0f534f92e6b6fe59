import { Agent } from 'undici';
import type { Attempt, Secrets } from './ports.ts';
import { signedHeaders } from './sign.ts';
import { type Allowed, checkedLookup, checkUrl, TargetError } from './target.ts';

const connectMs = 5_000;
const answerMs = 15_000;
/** Of the answer, which is not looked at. */
const maxAnswerBytes = 16_384;
const dumpMs = 1_000;

export type Outcome = Pick<Attempt, 'status' | 'error' | 'ms'> & { readonly retryAfterMs: number };
export type Send = (
  target: { readonly url: string; readonly secrets: Secrets },
  message: { readonly id: string; readonly body: string },
) => Promise<Outcome>;

/** Sends messages to receivers: signed, in bounded time, to addresses that are allowed, and following no redirect. */
export function createSend(allowed: Allowed, version: string): { readonly send: Send; close(): Promise<void> } {
  const agent = new Agent({
    connect: { timeout: connectMs, lookup: checkedLookup(allowed) },
    headersTimeout: answerMs,
    bodyTimeout: answerMs,
    maxResponseSize: maxAnswerBytes,
    keepAliveTimeout: 10_000,
  });
  return {
    async send({ url, secrets }, { id, body }) {
      const at = new Date();
      const began = performance.now();
      const ended = (status: number | null, error: string | null, retryAfterMs = 0): Outcome => ({
        status,
        error,
        ms: Math.round(performance.now() - began),
        retryAfterMs,
      });
      try {
        const { origin, pathname, search } = checkUrl(url, allowed);
        const answer = await agent.request({
          origin,
          path: pathname + search,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'user-agent': `afterword/${version}`,
            ...signedHeaders({ id, at, body }, secrets),
          },
          body,
          signal: AbortSignal.timeout(answerMs),
        });
        // The status is the answer: what follows it may fail, or never end.
        answer.body.dump({ limit: maxAnswerBytes, signal: AbortSignal.timeout(dumpMs) }).catch(() => {});
        const isSuccess = answer.statusCode >= 200 && answer.statusCode < 300;
        return ended(answer.statusCode, isSuccess ? null : 'not a success', msOf(answer.headers['retry-after']));
      } catch (error) {
        return ended(null, reasonOf(error));
      }
    },
    close: () => agent.destroy(),
  };
}

/** Without addresses: whoever may register an endpoint must not learn what is in the network. */
function reasonOf(error: unknown): string {
  if (error instanceof TargetError) return error.message;
  const { name, code, cause } = error as { name?: string; code?: string; cause?: unknown };
  if (cause instanceof TargetError) return cause.message;
  if (name === 'TimeoutError' || code?.endsWith('_TIMEOUT')) return 'no answer in time';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the name cannot be resolved';
  return 'cannot be reached';
}

/** Seconds or a date (RFC 9110); 0 if it is neither. */
function msOf(retryAfter: string | string[] | undefined): number {
  const text = String(retryAfter ?? '');
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}
