import type { Router } from 'express';
import {
  type Acceptor,
  accepted,
  acceptedHeaders,
  parseConversationRequest,
  type SessionEnd,
} from '../accept/index.ts';
import type { Config } from '../config.ts';
import type { Turn } from '../event/conversation.ts';
import type { EventId } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { connectRedis, eraseSessions, liveSessions, type RedisLink } from '../redis/index.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { type BodyBudget, type Caller, type Operation, Problem } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';
import { settlesWithin } from '../runtime/wait.ts';
import {
  createBegin,
  createConverse,
  createEndSession,
  createReads,
  createRecovery,
  createRespond,
  createTake,
  createUnsynced,
  type Ended,
  loadResponder,
  parseEnd,
  requireOwn,
  requireSessionId,
  runSweep,
  sessionOperations,
  sessionsRouter,
  startSync,
} from '../sessions/index.ts';
import { findEvent, findText, type Store, storedSessions } from '../store/index.ts';
import { statementDeadlineMs } from './limits.ts';

/** As many as a conversation may have that comes whole. */
const maxMessages = 2_000;
/** A session is written in one statement, which has to fit `max_allowed_packet` (16 MiB by default). */
const maxTextBytes = 4 * 1_024 * 1_024;
/**
 * After so many intervals every acknowledged message should be in the database; if that is away, Redis still has it.
 */
const syncsUntilSurely = 3;
const firstConnectMs = 3_000;

export type RunningSessions = {
  readonly router: Router;
  readonly operations: readonly Operation[];
  /** `POST /v1/conversations/end` with a session id. */
  end(body: SessionEnd, caller: Caller): Promise<Ended>;
  readonly gauges: readonly Gauge[];
  readonly link: Pick<RedisLink, 'state'>;
  /** @returns those that Redis had. @throws {PipelineError} transient */
  erase(userId: string, known: readonly string[]): Promise<string[]>;
  backlog(): ReturnType<ReturnType<typeof liveSessions>['backlog']>;
  /** With a last sync, at most `withinMs`. */
  close(withinMs: number): Promise<void>;
};

/**
 * Live sessions, if `REDIS_URL` is set: served from Redis, written behind to the database, ended through the acceptor.
 * @throws {StartError} if the responder cannot be loaded.
 */
export async function startSessions(
  config: Config & { readonly redisUrl: string },
  { store, acceptor, budget, log }: { store: Store; acceptor: Acceptor; budget: BodyBudget; log: Logger },
): Promise<RunningSessions> {
  const respond = await openResponder(config, log);
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  const unsynced = createUnsynced();
  const stored = storedSessions(store, statementDeadlineMs);
  const link = connectRedis({
    url: config.redisUrl,
    name: `afterword-api-${process.pid}`,
    recover: () => recovery.recover(),
    mayHaveLost: () => stored.hasOpen().catch(() => true),
    onFirst: () => first.resolve(),
    log,
  });
  const isUp = () => link.state === 'up';
  const live = liveSessions(link, { ttlMs: config.sessionTtlMs });
  const sync = startSync({
    ...{ live, stored, unsynced, isUp, log },
    writeCopies: (sessionId) => recovery.writeCopies(sessionId),
    intervalMs: config.syncIntervalMs,
  });
  const recovery = createRecovery({ live, stored, unsynced, syncOne: sync.one, log });
  const { take, load } = createTake({
    ...{ live, stored, unsynced, sync, isUp, log },
    writeCopies: recovery.writeCopies,
    limits: {
      messages: maxMessages,
      bytes: Math.min(config.maxBodyBytes, maxTextBytes),
      perMinute: config.sessionMessagesPerMinute,
      perMinuteOfUser: config.userMessagesPerMinute,
      pendingBytes: config.sessionMaxPendingBytes,
    },
    syncAtPending: config.syncMaxPending,
  });
  const reads = createReads({ live, stored, unsynced, isUp });
  const endSession = createEndSession({
    ...{ live, stored, isUp, load },
    syncOne: sync.one,
    check: (body) => void parseConversationRequest(body),
    unsettledMs: () => link.unsettledMs,
    accept: (body) => acceptConversation(acceptor, body),
    async findEvent(conversationId) {
      const event = await findEvent(store, { conversationId }, statementDeadlineMs);
      if (event === null) return null;
      const text = await findText(store, event.event_id as EventId, statementDeadlineMs);
      const turns = JSON.parse(text?.conversation_log ?? '[]') as Turn[];
      return { eventId: event.event_id, userId: event.user_id, turns };
    },
  });
  const sweeping = runSweep({
    ...{ live, stored, endSession, isUp, log },
    reattach: recovery.reattach,
    idleMs: config.sessionIdleMs,
    stop: stop.signal,
  });
  const retiring = setInterval(() => {
    if (!isUp()) return;
    recovery
      .retire(syncsUntilSurely * config.syncIntervalMs)
      .catch((error: unknown) => log.debug({ err: error }, 'old copies of messages are checked later'));
  }, 60_000);
  retiring.unref();
  // Redis may have messages of sessions that go on: without it, this process would number theirs from the database.
  await settlesWithin(first.promise, firstConnectMs);

  const router = sessionsRouter(
    {
      begin: createBegin({ live, stored, unsynced, isUp }),
      converse: createConverse({ take, reads, respond }),
      reads,
      endSession,
      async syncAll() {
        if (!isUp()) throw new PipelineError('transient', 'REDIS_UNAVAILABLE', 'Redis is away');
        return sync.all();
      },
    },
    { maxBodyBytes: config.maxBodyBytes, budget },
  );

  return {
    router,
    operations: sessionOperations({ body: accepted, headers: acceptedHeaders }),
    async end(body, caller) {
      const sessionId = requireSessionId(body.session_id);
      await requireOwn(reads, sessionId, caller);
      return endSession.end(sessionId, parseEnd(sessionId, body));
    },
    gauges: [unsynced.gauge, ...(respond === null ? [] : [respond.gauge])],
    link,
    async erase(userId, known) {
      const erased = await eraseSessions(link, userId, known);
      for (const id of new Set([...known, ...erased])) unsynced.drop(id);
      return erased;
    },
    backlog: live.backlog,
    async close(withinMs) {
      clearInterval(retiring);
      stop.abort();
      await settlesWithin(sweeping, withinMs);
      await sync.close(withinMs);
      await link.close();
    },
  };
}

/** @throws {PipelineError} transient. */
async function acceptConversation(acceptor: Acceptor, body: unknown) {
  try {
    return { kind: 'accepted' as const, ...(await acceptor.accept(parseConversationRequest(body))) };
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return { kind: 'refused' as const, why: error };
    throw error;
  }
}

async function openResponder(config: Config, log: Logger) {
  const { responderModule } = config;
  if (responderModule === null) return null;
  try {
    const responder = await loadResponder(responderModule);
    log.info({ responder: responder.name }, 'responder loaded');
    return createRespond(responder, {
      timeoutMs: config.responderTimeoutMs,
      atOnce: config.responderConcurrency,
      log,
    });
  } catch (error) {
    throw new StartError(`RESPONDER_MODULE ${responderModule} cannot be loaded: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
