import * as z from 'zod';
import type { Operation } from '../runtime/http/index.ts';
import { list, pair } from './request.ts';

const step = z.object({
  op: z.enum(['same', 'substituted', 'dropped', 'inserted']),
  phoneme_1: z.string().nullable(),
  phoneme_2: z.string().nullable(),
});
const compared = z
  .object({
    similarity: z.number(),
    distance: z.number(),
    tokens_1: z.array(z.string()),
    tokens_2: z.array(z.string()),
    alignment: z.array(step),
    cached: z.boolean(),
  })
  .meta({ id: 'Compared' });
const elapsed = { elapsed_ms: z.number() };
const failed = z.object({ error: z.object({ code: z.string(), detail: z.string() }) });

export const pronunciationOperations: readonly Operation[] = [
  {
    id: 'comparePronunciations',
    method: 'post',
    path: '/v1/pronunciation/similarity',
    scope: 'submit',
    tag: 'Pronunciation',
    summary: 'How alike two texts are pronounced, or many attempts at one text',
    body: {
      schema: z.union([pair, list]),
      examples: {
        'two texts': { text_1: 'three trees', text_2: 'tree trees' },
        attempts: { reference: 'three trees', attempts: ['tree trees', 'three trees'] },
      },
    },
    answers: {
      200: {
        what: 'The comparison, or one for each attempt.',
        content: {
          schema: z.union([
            compared.extend(elapsed).meta({ id: 'ComparedPair' }),
            z.object({ attempts: z.array(z.union([compared, failed])), ...elapsed }),
          ]),
        },
      },
    },
    problems: { 422: ['invalid_request', 'no_phonemes'], 503: ['phonemes_unavailable'] },
  },
];
