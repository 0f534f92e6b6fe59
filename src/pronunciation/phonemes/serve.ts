import { Router } from 'express';
import * as z from 'zod';
import { maxTargetLength } from '../../event/conversation.ts';
import { fields, jsonBody, Problem, parseBody, sendJson } from '../../runtime/http/index.ts';
import { languageTag } from '../../runtime/language-tag.ts';
import { NoPhonemes, type PhonemeSource, type Spoken } from '../ports.ts';

const text = fields.text(0, maxTargetLength);
const how = {
  lang: languageTag.default('en-US'),
  mode: z.boolean('must be true or false').default(true),
};
const single = z.object({ text, ...how }, 'must be an object');
const batch = z.object(
  { texts: z.array(z.string('must be a string'), 'must be a list').min(1).max(10), ...how },
  'must be an object',
);
const maxBodyBytes = 65_536;

/** The contract of `PHONEME_URL`, at `POST /` and `POST /ipa`: `{text}` → `{ipa}`, `{texts}` → `{ipa: [...]}`. */
export function phonemesRouter(source: PhonemeSource): Router {
  const router = Router();
  /** Null: this one is refused, and the others of its batch are not. */
  const lookUp = async (one: string, how: Omit<Spoken, 'text'>) =>
    text.safeParse(one).success ? source.lookUp({ text: one, ...how }).catch(nullIfRefused) : null;
  router.get('/healthz', (_request, response) => sendJson(response, 200, { status: 'ok' }));
  router.post(['/', '/ipa'], ...jsonBody(maxBodyBytes), async (request, response) => {
    const given = request.body as Record<string, unknown> | null;
    try {
      if (typeof given === 'object' && given !== null && 'texts' in given) {
        const { texts, lang, mode } = parseBody(batch, given);
        const ipa = await Promise.all(texts.map((one) => lookUp(one, { lang, mode })));
        return sendJson(response, 200, { ipa });
      }
      sendJson(response, 200, { ipa: await source.lookUp(parseBody(single, given)) });
    } catch (error) {
      throw error instanceof NoPhonemes ? problemOf(error) : error;
    }
  });
  return router;
}

function nullIfRefused(error: unknown): null {
  if (error instanceof NoPhonemes && error.kind === 'refused') return null;
  throw error;
}

function problemOf(error: NoPhonemes): Problem {
  if (error.kind === 'refused') return new Problem(422, 'no_phonemes', error.message, { cause: error });
  return new Problem(503, 'phonemes_unavailable', error.message, { retryAfterSeconds: 1, cause: error });
}
