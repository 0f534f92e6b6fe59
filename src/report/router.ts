import { hash } from 'node:crypto';
import { type Request, type Response, Router } from 'express';
import * as z from 'zod';
import { type EventId, type EventStatus, eventStatuses, isOpen } from '../event/event.ts';
import { Problem } from '../runtime/http/index.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { type EventView, type FriendshipView, presentEvent, presentFriendship } from './views.ts';
import type { ClosedWatch } from './watch-closed.ts';

export type FindEvent = (conversationId: string, options: { readonly withLog: boolean }) => Promise<EventView | null>;
export type ListEvents = (
  filter: { readonly status?: EventStatus; readonly userId?: string; readonly before?: EventId },
  limit: number,
) => Promise<readonly EventView[]>;
export type FindFriendship = (userId: string) => Promise<FriendshipView | null>;

/** RFC 7240: `Prefer: wait=10`, seconds. */
const preferWait = /(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i;
const maxWaitSeconds = 30;

const listQuery = z.object({
  status: z.enum(eventStatuses, `must be one of ${eventStatuses.join(', ')}`).optional(),
  user_id: z.string('must be given once').min(1, 'must not be empty').optional(),
  limit: z
    .string('must be given once')
    .regex(/^\d{1,3}$/, 'must be a number from 1 to 200')
    .transform(Number)
    .pipe(z.number().min(1, 'must be a number from 1 to 200').max(200, 'must be a number from 1 to 200'))
    .default(50),
  cursor: z
    .string('must be given once')
    .transform((text, context) => {
      const eventId = decodeCursor(text);
      if (eventId) return eventId;
      context.addIssue('must be a next_cursor of an earlier answer');
      return z.NEVER;
    })
    .optional(),
});

/** What callers may look at: one event, the list, a user's friendship. */
export function reportRouter(options: {
  readonly findEvent: FindEvent;
  readonly listEvents: ListEvents;
  readonly findFriendship: FindFriendship;
  readonly closedWatch: ClosedWatch;
}): Router {
  const router = Router();

  router.get('/v1/conversations/:id', async (request, response) => {
    const conversationId = request.params.id;
    const withLog = request.query['include'] === 'log';
    let row = await options.findEvent(conversationId, { withLog });
    const waitSeconds = Math.min(maxWaitSeconds, Number(preferWait.exec(request.get('prefer') ?? '')?.[1] ?? 0));
    if (row && isOpen(row.status) && waitSeconds > 0) {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      response.setHeader('Preference-Applied', `wait=${waitSeconds}`);
      await options.closedWatch.untilClosed(conversationId, waitSeconds * 1_000, gone.signal);
      row = await options.findEvent(conversationId, { withLog });
    }
    if (!row) throw new Problem(404, 'conversation_not_found', 'no conversation with this id was accepted');
    if (isOpen(row.status)) response.setHeader('Retry-After', '1');
    sendWithEtag(request, response, presentEvent(row, { withLog }));
  });

  router.get('/v1/conversations', async (request, response) => {
    const query = listQuery.safeParse(request.query);
    if (!query.success) {
      const errors = query.error.issues.map((issue) => ({ pointer: `?${String(issue.path[0])}`, detail: issue.message }));
      throw new Problem(422, 'invalid_query', 'the query has errors', { errors });
    }
    const { status, user_id: userId, limit, cursor } = query.data;
    const filter = { ...(status && { status }), ...(userId !== undefined && { userId }), ...(cursor && { before: cursor }) };
    // One more than asked for tells whether there is a next page.
    const rows = await options.listEvents(filter, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    sendWithEtag(request, response, {
      conversations: page.map((row) => presentEvent(row)),
      next_cursor: rows.length > limit && last ? encodeCursor(last.event_id) : null,
    });
  });

  router.get('/v1/users/:id/friendship', async (request, response) => {
    const found = await options.findFriendship(request.params.id);
    if (!found) throw new Problem(404, 'user_not_found', 'no conversation of this user has been scored');
    sendWithEtag(request, response, presentFriendship(found));
  });

  return router;
}

/** The body's own hash as a strong ETag; 304 without the body for a client that has it. */
function sendWithEtag(request: Request, response: Response, body: object): void {
  const text = JSON.stringify(body);
  response.setHeader('ETag', `"${hash('sha256', text, 'base64url').slice(0, 27)}"`);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (request.fresh) response.status(304).end();
  else response.type('application/json').send(text);
}
