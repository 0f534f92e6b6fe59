import { hash } from 'node:crypto';
import { type Request, type Response, Router } from 'express';
import { isOpen } from '../event/event.ts';
import { actsFor, callerOf, Problem, parseQuery, requireUser, type Slots } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { encodeCursor } from './cursor.ts';
import { exportHandler } from './export.ts';
import type { Feed } from './feed.ts';
import type { EventView, ExportEvents, FindFriendship, FindText, FindTexts, ListEvents } from './ports.ts';
import { itemQuery, listQuery } from './query.ts';
import type { Reads } from './reads.ts';
import type { CachedAnswer, ResponseCache } from './response-cache.ts';
import { streamHandler } from './stream.ts';
import { presentEvent, presentFriendship } from './views.ts';
import type { ClosedWatch } from './watch-closed.ts';
import { userIn } from './whose.ts';

/** RFC 7240: `Prefer: wait=10`, seconds. */
const preferWait = /(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i;
const maxWaitSeconds = 30;

/** What callers can read: one event, the list, a user's friendship. */
export function reportRouter(options: {
  readonly reads: Reads;
  readonly findText: FindText;
  readonly listEvents: ListEvents;
  readonly findFriendship: FindFriendship;
  /** From the primary database. */
  readonly findNewestFriendship: FindFriendship;
  /** Reads may be a little older than the primary database. */
  readonly hasReplica: boolean;
  /** Null: nothing is kept. */
  readonly cache: ResponseCache | null;
  readonly closedWatch: ClosedWatch;
  readonly exportEvents: ExportEvents;
  readonly findTexts: FindTexts;
  readonly exports: Slots;
  readonly acceptDeadlineMs: number;
  readonly maxBodyBytes: number;
  /** Null: there is no stream. */
  readonly feed: Feed | null;
  readonly streams: Slots;
  /** Aborted when the process ends. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}): Router {
  const router = Router();
  const { reads, cache } = options;

  const { feed } = options;
  if (feed !== null) router.get('/v1/events/stream', streamHandler({ ...options, feed }));

  // Before `:id`, so that "export" is not taken for an id.
  router.get('/v1/conversations/export', exportHandler(options));

  router.get('/v1/conversations/:id', async (request, response) => {
    const conversationId = request.params.id;
    const { include: parts } = parseQuery(itemQuery, request.query);
    const kept = parts.length === 0 ? cache?.answers.get(conversationId) : undefined;
    // Whoever holds another answer may hold a newer one.
    const isNews = ({ etag }: { readonly etag: string }) => holdsOther(request, etag);
    if (kept !== undefined && !isNews(kept) && actsFor(callerOf(response), kept.userId))
      return send(request, response, kept);
    let row = await reads.event(conversationId);
    // A key that is bound to others does not learn that it exists.
    if (row && !actsFor(callerOf(response), row.user_id)) row = null;
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
    if (!row) throw notFound();
    if (isOpen(row.status)) response.setHeader('Retry-After', '1');
    const answered = async (event: EventView) => {
      const text = parts.length === 0 ? null : await reads.bounded(() => options.findText(event.event_id));
      return answerOf(presentEvent(event, parts, text));
    };
    let answer = await answered(row);
    if (options.hasReplica && isNews(answer)) {
      row = await reads.newest(conversationId);
      if (!row) throw notFound();
      answer = await answered(row);
    }
    if (row.status === 'PROCESSED' && parts.length === 0)
      cache?.answers.set(conversationId, { ...answer, userId: row.user_id });
    send(request, response, answer);
  });

  router.get('/v1/conversations', async (request, response) => {
    const { status, user_id: wanted, limit, cursor } = parseQuery(listQuery, request.query);
    const userId = userIn(callerOf(response), wanted);
    const filter = {
      ...(status && { status }),
      ...(userId !== undefined && { userId }),
      ...(cursor && { before: cursor }),
    };
    // One more than asked for tells whether there is a next page.
    const rows = await reads.bounded(() => options.listEvents(filter, limit + 1));
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const body = {
      conversations: page.map((row) => presentEvent(row)),
      next_cursor: rows.length > limit && last ? encodeCursor(last.event_id) : null,
    };
    send(request, response, answerOf(body));
  });

  router.get('/v1/users/:id/friendship', async (request, response) => {
    const { id } = request.params;
    requireUser(callerOf(response), id);
    const known = cache?.friendships.get(id) ?? null;
    const answered = async (find: FindFriendship) => {
      const found = await reads.bounded(() => find(id, known));
      if (!found) throw new Problem(404, 'user_not_found', 'no conversation of this user has been scored');
      if (found.isSettled) cache?.friendships.set(id, found.view);
      return answerOf(presentFriendship(found.view));
    };
    let answer = await answered(options.findFriendship);
    if (options.hasReplica && holdsOther(request, answer.etag)) answer = await answered(options.findNewestFriendship);
    send(request, response, answer);
  });

  return router;
}

function notFound(): Problem {
  return new Problem(404, 'conversation_not_found', 'no conversation with this id was accepted');
}

/** The hash of the body is a strong ETag. */
function answerOf(body: object): Pick<CachedAnswer, 'text' | 'etag'> {
  const text = `${JSON.stringify(body)}\n`;
  return { text, etag: `"${hash('sha256', text, 'base64url').slice(0, 27)}"` };
}

/** The caller holds an answer, and it is not this one. */
function holdsOther(request: Request, etag: string): boolean {
  const held = request.headers['if-none-match'];
  return held !== undefined && !held.includes(etag);
}

/** Or 304 without the body to a client that has it. */
function send(request: Request, response: Response, { text, etag }: Pick<CachedAnswer, 'text' | 'etag'>): void {
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (request.fresh) response.status(304).end();
  else response.type('application/json').send(text);
}
