import { Router } from 'express';
import { type BodyBudget, jsonBody, Problem, parseBody, sendJson } from '../runtime/http/index.ts';
import type { Assessed, createAssess, Refused } from './assess.ts';
import { NoPhonemes } from './ports.ts';
import { list, pair } from './request.ts';
import type { Step } from './similarity/align.ts';

/** Enough for a hundred texts of that length in any script. */
const maxBodyBytes = 524_288;
const retryAfterSeconds = 5;

/** `POST /v1/pronunciation/similarity`: two texts, or a reference with up to a hundred attempts at it. */
export function pronunciationRouter(options: {
  /** Opened by the first request. */
  readonly open: () => Promise<ReturnType<typeof createAssess>>;
  readonly defaultLang: string;
  readonly budget: BodyBudget;
}): Router {
  const { defaultLang } = options;
  const router = Router();
  router.post(
    '/v1/pronunciation/similarity',
    options.budget.handler,
    ...jsonBody(maxBodyBytes),
    async (request, response) => {
      const began = performance.now();
      const elapsed = () => ({ elapsed_ms: Math.round((performance.now() - began) * 10) / 10 });
      const given = request.body as Record<string, unknown> | null;
      const assess = await options.open();
      try {
        if (typeof given === 'object' && given !== null && ('reference' in given || 'attempts' in given)) {
          const { reference, attempts, lang, mode } = parseBody(list, given);
          const results = await assess.attempts(reference, attempts, { lang: lang ?? defaultLang, mode });
          return sendJson(response, 200, { attempts: results.map(presentAttempt), ...elapsed() });
        }
        const { text_1, text_2, lang, mode } = parseBody(pair, given);
        const result = await assess.pair(text_1, text_2, { lang: lang ?? defaultLang, mode });
        sendJson(response, 200, { ...present(result), ...elapsed() });
      } catch (error) {
        throw error instanceof NoPhonemes ? problemOf(error) : error;
      }
    },
  );
  return router;
}

function present({ similarity, distance, first, second, steps, isCached }: Assessed) {
  return {
    similarity: Math.round(similarity * 10_000) / 10_000,
    distance,
    tokens_1: first,
    tokens_2: second,
    alignment: steps.map(presentStep),
    cached: isCached,
  };
}

function presentStep({ op, first, second }: Step<string>) {
  return { op, phoneme_1: first, phoneme_2: second };
}

function presentAttempt(result: Assessed | Refused) {
  if (!('failure' in result)) return present(result);
  const { code, message } = problemOf(result.failure);
  return { error: { code, detail: message } };
}

function problemOf(error: NoPhonemes): Problem {
  if (error.kind === 'refused') return new Problem(422, 'no_phonemes', error.message, { cause: error });
  return new Problem(503, 'phonemes_unavailable', error.message, { retryAfterSeconds, cause: error });
}
