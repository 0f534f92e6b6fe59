import { hash } from 'node:crypto';
import { type Request, type Response, Router } from 'express';
import * as z from 'zod';
import { eventStatuses, isOpen } from '../event/event.ts';
import { fields, Problem, parseQuery } from '../runtime/http/index.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { FindFriendship, FindText, ListEvents } from './ports.ts';
import type { Reads } from './reads.ts';
import { type Part, presentEvent, presentFriendship } from './views.ts';
import type { ClosedWatch } from './watch-closed.ts';

/** RFC 7240: `Prefer: wait=10`, seconds. */
const preferWait = /(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i;
const maxWaitSeconds = 30;

const parts = { log: 'log', metadata: 'metadata' } as const satisfies Record<string, Part>;
const itemQuery = z.strictObject({
  include: z
    .string('must be given once')
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(parts, `must be one or more of ${Object.keys(parts).join(', ')}, separated by commas`)))
    .default([]),
});

const listQuery = z.strictObject({
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

/** What callers can read: one event, the list, a user's friendship. */
export function reportRouter(options: {
  readonly reads: Reads;
  readonly findText: FindText;
  readonly listEvents: ListEvents;
  readonly findFriendship: FindFriendship;
  readonly closedWatch: ClosedWatch;
}): Router {
  const router = Router();
  const { reads } = options;

  router.get('/v1/conversations/:id', async (request, response) => {
    const conversationId = request.params.id;
    const { include: parts } = parseQuery(itemQuery, request.query);
    let row = await reads.event(conversationId);
    const waitSeconds = Math.min(maxWaitSeconds, Number(preferWait.exec(request.get('prefer') ?? '')?.[1] ?? 0));
    if (row && isOpen(row.status) && waitSeconds > 0) {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const waiting = options.closedWatch.untilClosed(conversationId, waitSeconds * 1_000, gone.signal);
      if (waiting !== null) {
        response.setHeader('Preference-Applied', `wait=${waitSeconds}`);
        const closed = await waiting;
        if (gone.signal.aborted) return;
        row = closed ?? (await reads.event(conversationId));
      }
    }
    if (!row) throw new Problem(404, 'conversation_not_found', 'no conversation with this id was accepted');
    if (isOpen(row.status)) response.setHeader('Retry-After', '1');
    const { event_id } = row;
    const text = parts.length === 0 ? null : await reads.bounded(() => options.findText(event_id));
    sendWithEtag(request, response, presentEvent(row, parts, text));
  });

  router.get('/v1/conversations', async (request, response) => {
    const { status, user_id: userId, limit, cursor } = parseQuery(listQuery, request.query);
    const filter = {
      ...(status && { status }),
      ...(userId !== undefined && { userId }),
      ...(cursor && { before: cursor }),
    };
    // One more than asked for tells whether there is a next page.
    const rows = await reads.bounded(() => options.listEvents(filter, limit + 1));
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    sendWithEtag(request, response, {
      conversations: page.map((row) => presentEvent(row)),
      next_cursor: rows.length > limit && last ? encodeCursor(last.event_id) : null,
    });
  });

  router.get('/v1/users/:id/friendship', async (request, response) => {
    const found = await reads.bounded(() => options.findFriendship(request.params.id));
    if (!found) throw new Problem(404, 'user_not_found', 'no conversation of this user has been scored');
    sendWithEtag(request, response, presentFriendship(found));
  });

  return router;
}

/** Sends the body with its hash as a strong ETag, or 304 without the body to a client that has it. */
function sendWithEtag(request: Request, response: Response, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response.setHeader('ETag', `"${hash('sha256', text, 'base64url').slice(0, 27)}"`);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (request.fresh) response.status(304).end();
  else response.type('application/json').send(text);
}
