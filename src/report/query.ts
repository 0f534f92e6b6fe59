import * as z from 'zod';
import { eventStatuses } from '../event/event.ts';
import { fields } from '../runtime/http/index.ts';
import { decodeCursor } from './cursor.ts';
import type { Part } from './views.ts';

const parts = { log: 'log', metadata: 'metadata' } as const satisfies Record<string, Part>;

export const itemQuery = z.strictObject({
  include: z
    .string('must be given once')
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(parts, `must be one or more of ${Object.keys(parts).join(', ')}, separated by commas`)))
    .default([])
    .meta({ override: { type: 'string', examples: ['log', 'log,metadata'] } }),
});

const cursor = z.string('must be given once').transform((text, context) => {
  const eventId = decodeCursor(text);
  if (eventId) return eventId;
  context.addIssue('must be the next_cursor of an earlier answer, or the cursor of a line');
  return z.NEVER;
});
const status = z.enum(eventStatuses, `must be one of ${eventStatuses.join(', ')}`);
const userId = z.string('must be given once').min(1, 'must not be empty');

export const listQuery = z.strictObject({
  status: status.optional(),
  user_id: userId.optional(),
  limit: fields.limit(50),
  cursor: cursor.optional(),
});

export const streamQuery = z.strictObject({
  user_id: userId.optional(),
  status: z
    .enum(['PROCESSED', 'FAILED', 'SKIPPED'], 'must be one of PROCESSED, FAILED, SKIPPED: others are not closed')
    .optional(),
});

export const exportQuery = z.strictObject({
  since: fields.time.optional(),
  status: status.optional(),
  user_id: userId.optional(),
  cursor: cursor.optional(),
  include: itemQuery.shape.include,
});
