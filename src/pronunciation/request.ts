import * as z from 'zod';
import { maxTargetLength } from '../event/conversation.ts';
import { fields } from '../runtime/http/index.ts';
import { languageTag } from '../runtime/language-tag.ts';

const maxAttempts = 100;

const text = fields.text(0, maxTargetLength);
const how = {
  lang: languageTag.optional(),
  mode: z.boolean('must be true or false').default(true),
};
export const pair = z.object({ text_1: text, text_2: text, ...how }, 'must be an object');
export const list = z.object(
  {
    reference: text,
    attempts: z
      .array(text, 'must be a list')
      .min(1, 'must not be empty')
      .max(maxAttempts, `must have at most ${maxAttempts} attempts`),
    ...how,
  },
  'must be an object',
);
