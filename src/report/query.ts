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

export const listQuery = z.strictObject({
  status: z.enum(eventStatuses, `must be one of ${eventStatuses.join(', ')}`).optional(),
  user_id: z.string('must be given once').min(1, 'must not be empty').optional(),
  limit: fields.limit(50),
  cursor: z
    .string('must be given once')
    .transform((text, context) => {
      const eventId = decodeCursor(text);
      if (eventId) return eventId;
      context.addIssue('must be the next_cursor of an earlier answer');
      return z.NEVER;
    })
    .optional(),
});
