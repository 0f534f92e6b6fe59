import { Router } from 'express';
import {
  type BodyBudget,
  callerOf,
  jsonBody,
  Problem,
  parseQuery,
  requireUser,
  sendJson,
} from '../runtime/http/index.ts';
import type { createBegin } from './begin.ts';
import type { Answered, createConverse } from './converse.ts';
import type { Ended, EndSession } from './end.ts';
import { findOwn, requireOwn } from './own.ts';
import type { NewMessage } from './ports.ts';
import type { Reads } from './reads.ts';
import { page, parseEnd, parseMessages, parseSession, requireSessionId } from './request.ts';
import { presentMessage, presentSession, presentStats } from './views.ts';

/** When `GET /sync_now` was deprecated: 30 November 2026 (RFC 9745). */
const deprecated = '@1795996800';
const endBodyBytes = 65_536;

export type Sessions = {
  readonly begin: ReturnType<typeof createBegin>;
  readonly converse: ReturnType<typeof createConverse>;
  readonly reads: Reads;
  readonly endSession: EndSession;
  /** @returns messages that were written. @throws a transient PipelineError while Redis is away. */
  syncAll(): Promise<number>;
};

/** Live sessions: begin, talk, look, end. */
export function sessionsRouter(
  sessions: Sessions,
  { maxBodyBytes, budget }: { readonly maxBodyBytes: number; readonly budget: BodyBudget },
): Router {
  const router = Router();
  const { reads } = sessions;
  const body = [budget.handler, ...jsonBody(maxBodyBytes)];

  router.post('/v1/sessions', ...body, async (request, response) => {
    const { head, isNew } = parseSession(request.body);
    requireUser(callerOf(response), head.userId);
    const before = await sessions.begin(head, isNew);
    if (before !== null && before.userId !== head.userId)
      throw new Problem(409, 'session_exists', 'another user has a session with this id');
    const view = await reads.session(head.sessionId);
    response.setHeader('Location', `/v1/sessions/${head.sessionId}`);
    sendJson(
      response,
      before === null ? 201 : 200,
      view === null ? { session_id: head.sessionId } : presentSession(view),
    );
  });

  router.post('/v1/sessions/sync', async (_request, response) => {
    sendJson(response, 200, { synced: await sessions.syncAll() });
  });

  // Older callers show this text to people.
  router.get('/sync_now', async (_request, response) => {
    response.setHeader('Deprecation', deprecated);
    response.setHeader('Link', '</v1/sessions/sync>; rel="successor-version"');
    sendJson(response, 200, { message: `Đã đồng bộ thành công ${await sessions.syncAll()} tin nhắn` });
  });

  router.get('/v1/sessions/:id', async (request, response) => {
    const view = await findOwn(reads, request.params.id, callerOf(response));
    sendJson(response, 200, { ...presentSession(view), history: view.history.map(presentMessage) });
  });

  router.get('/v1/sessions/:id/stats', async (request, response) => {
    sendJson(response, 200, presentStats(await findOwn(reads, request.params.id, callerOf(response))));
  });

  router.get('/v1/sessions/:id/messages', async (request, response) => {
    const { cursor, limit } = parseQuery(page, request.query);
    const sessionId = requireSessionId(request.params.id);
    await requireOwn(reads, sessionId, callerOf(response));
    const found = await reads.messagesAfter(sessionId, cursor, limit + 1);
    if (found.length === 0) await findOwn(reads, sessionId, callerOf(response));
    const messages = found.slice(0, limit);
    sendJson(response, 200, {
      messages: messages.map(presentMessage),
      next_cursor: found.length > limit ? String(messages.at(-1)?.position) : null,
    });
  });

  router.post('/v1/sessions/:id/messages', ...body, async (request, response) => {
    const sessionId = requireSessionId(request.params['id']);
    const { messages, isList } = parseMessages(request.body);
    await requireOwn(reads, sessionId, callerOf(response));
    const answered = await sessions.converse(sessionId, messages);
    if (answered.taken.every(({ isReplay }) => isReplay)) response.setHeader('Idempotency-Replayed', 'true');
    const status = answered.reply !== null && 'message' in answered.reply ? 200 : 202;
    sendJson(response, status, presentAnswer(messages, answered, isList));
  });

  router.post(
    '/v1/sessions/:id/end',
    budget.handler,
    ...jsonBody(endBodyBytes, { optional: true }),
    async (request, response) => {
      const sessionId = requireSessionId(request.params['id']);
      await requireOwn(reads, sessionId, callerOf(response));
      const ended = await sessions.endSession.end(sessionId, parseEnd(sessionId, request.body));
      sendEnded(response, ended);
    },
  );

  return router;
}

/** The same answer as for a conversation that comes whole. */
function sendEnded(response: Parameters<typeof sendJson>[0], ended: Ended): void {
  response.setHeader('Location', `/v1/conversations/${encodeURIComponent(ended.conversationId)}`);
  response.setHeader('Retry-After', '1');
  if (ended.replayed) response.setHeader('Idempotency-Replayed', 'true');
  sendJson(response, 202, {
    status: 'accepted',
    message: ended.replayed ? 'this conversation was accepted before' : 'the conversation will be scored',
    conversation_id: ended.conversationId,
    event_id: ended.eventId,
  });
}

function presentAnswer(messages: readonly NewMessage[], { taken, reply }: Answered, isList: boolean) {
  const answers = messages.map((m, i) => ({
    message_id: m.messageId,
    position: taken[i]?.position,
    question_count: taken[i]?.questions,
  }));
  return {
    ...(isList ? { messages: answers } : answers[0]),
    ...(reply !== null &&
      ('message' in reply
        ? { reply: presentMessage(reply.message) }
        : {
            reply: null,
            reply_error: {
              code: reply.code,
              detail: 'the message is kept; send it again with this message_id to ask again',
            },
          })),
  };
}
