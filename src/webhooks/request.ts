import * as z from 'zod';
import { noticeTypes } from '../event/notice.ts';
import { fields } from '../runtime/http/index.ts';

const url = z.string('must be a string').max(2_000, 'must have at most 2000 characters').meta({ format: 'uri' });
const types = z
  .array(z.enum(noticeTypes, `must be one of ${noticeTypes.join(', ')}`), 'must be a list')
  .min(1, 'must not be empty')
  .transform((list) => noticeTypes.filter((type) => list.includes(type)))
  .meta({ override: { type: 'array', minItems: 1, items: { type: 'string', enum: [...noticeTypes] } } });
const description = fields.text(0, 255).nullish();
const user = fields.text(1, 256).regex(/^[^*]+\*?$/, 'must be the id of a user, or the beginning of ids followed by *');

export const newEndpoint = z.strictObject(
  { url, types, description, user: user.nullish() },
  { error: (issue) => unknownFields(issue) ?? 'must be an object' },
);

export const endpointChange = z.strictObject(
  {
    url: url.optional(),
    types: types.optional(),
    description,
    state: z.enum(['enabled', 'disabled'], 'must be enabled or disabled').optional(),
  },
  { error: (issue) => unknownFields(issue) ?? 'must be an object' },
);

export const replay = z.strictObject(
  {
    ids: z.array(z.int().min(1), 'must be a list of ids').min(1, 'must not be empty').max(1_000).optional(),
    state: z.enum(['FAILED', 'DELIVERED'], 'must be FAILED or DELIVERED').optional(),
    since: fields.time.optional(),
    until: fields.time.optional(),
    cursor: z
      .string('must be a string')
      .regex(/^\d{1,15}_\d{1,15}$/, 'must be the next_cursor of an earlier answer')
      .optional(),
  },
  { error: (issue) => unknownFields(issue) ?? 'must be an object' },
);

export const rotation = z.strictObject(
  {
    grace_seconds: z.int().min(0).max(604_800).default(86_400).meta({ description: 'The old secret signs, too.' }),
  },
  { error: (issue) => unknownFields(issue) ?? 'must be an object' },
);

const before = z
  .string('must be given once')
  .regex(/^\d{1,15}$/, 'must be the next_cursor of an earlier answer')
  .transform(Number);
export const deliveryQuery = z.strictObject({
  state: z.enum(['PENDING', 'DELIVERED', 'FAILED'], 'must be PENDING, DELIVERED or FAILED').optional(),
  limit: fields.limit(50),
  cursor: before.optional(),
});

function unknownFields(issue: { readonly code?: string; readonly keys?: readonly string[] }): string | undefined {
  return issue.code === 'unrecognized_keys' ? `has unknown fields: ${issue.keys?.join(', ')}` : undefined;
}
