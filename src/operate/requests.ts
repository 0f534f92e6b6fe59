import * as z from 'zod';

export const bulkRetry = z.strictObject(
  {
    status: z.literal('FAILED', 'must be FAILED, the only state that is retried'),
    error_code: z.string('must be a string').max(64, 'must have at most 64 characters').optional(),
    before: z.iso
      .datetime({ offset: true, error: 'must be an ISO 8601 date and time with zone' })
      .transform((text) => new Date(text))
      .optional(),
    limit: z
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(10_000, 'must be at most 10000')
      .default(1_000),
  },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `has unknown fields: ${issue.keys.join(', ')}` : 'must be an object',
  },
);

export const skip = z.object(
  { reason: z.string('must be a string').max(500, 'must have at most 500 characters').optional() },
  'must be an object',
);
