import type { Response, Router } from 'express';
import { type Acceptor, parseConversationRequest, type SessionEnd } from '../accept/index.ts';
import type { Config } from '../config.ts';
import { PipelineError } from '../event/fault.ts';
import { connectRedis, liveSessions, type RedisLink } from '../redis/index.ts';
import type { Gauge } from '../runtime/gauge.ts';
import { type BodyBudget, Problem } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';
import { settlesWithin } from '../runtime/wait.ts';
import {
  createConverse,
  createEndSession,
  createReads,
  createRecovery,
  createRespond,
  createTake,
  createUnsynced,
  loadResponder,
  parseEnd,
  requireSessionId,
  runSweep,
  type SessionHead,
  sendEnded,
  sessionsRouter,
  startSync,
} from '../sessions/index.ts';
import { type Store, storedSessions } from '../store/index.ts';
import { statementDeadlineMs } from './limits.ts';

/** As many as a conversation may have that comes whole. */
const maxMessages = 2_000;
/** A message that was answered for is in the database by then, unless that is away: then Redis keeps it. */
const syncsUntilSurely = 3;
const firstConnectMs = 3_000;

export type RunningSessions = {
  readonly router: Router;
  /** `POST /v1/conversations/end` with a session id. */
  end(body: SessionEnd, response: Response): Promise<void>;
  readonly gauges: readonly Gauge[];
  readonly link: Pick<RedisLink, 'state'>;
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
    onFirst: () => first.resolve(),
    log,
  });
  const isUp = () => link.state === 'up';
  const live = liveSessions(link, { ttlMs: config.sessionTtlMs });
  const sync = startSync({ live, stored, unsynced, isUp, intervalMs: config.syncIntervalMs, log });
  const recovery = createRecovery({ live, stored, unsynced, syncOne: sync.one, log });
  const { take, load } = createTake({
    ...{ live, stored, unsynced, sync, isUp, log },
    complete: recovery.complete,
    limits: {
      messages: maxMessages,
      bytes: config.maxBodyBytes,
      perMinute: config.sessionMessagesPerMinute,
      perMinuteOfUser: config.userMessagesPerMinute,
      pendingBytes: config.sessionMaxPendingBytes,
    },
    syncFrom: config.syncMaxPending,
  });
  const reads = createReads({ live, stored, unsynced, isUp });
  const endSession = createEndSession({
    ...{ live, stored, isUp, load },
    syncOne: sync.one,
    check: (body) => void parseConversationRequest(body),
    accept: (body) => acceptor.accept(parseConversationRequest(body)),
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

  async function create(head: SessionHead) {
    let before = null;
    let isStored = true;
    try {
      before = await stored.create(head);
    } catch (error) {
      // Redis keeps it until the database is back.
      if (!isUp() || !(error instanceof PipelineError) || error.kind !== 'transient') throw error;
      isStored = false;
    }
    if (before !== null || !isUp()) return before;
    try {
      if (!isStored) await live.mark(head.sessionId, 0);
      const there = await live.create(head);
      if (!isStored && there === null) unsynced.begin(head);
      return there;
    } catch (error) {
      if (!isStored) throw error;
      return null; // the database has it
    }
  }

  const router = sessionsRouter(
    {
      create,
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
    async end(body, response) {
      const sessionId = requireSessionId(body.session_id);
      const session = await reads.session(sessionId);
      if (body['user_id'] != null && session !== null && body['user_id'] !== session.userId)
        throw new Problem(422, 'invalid_request', 'the session is not of this user', {
          errors: [{ pointer: '/user_id', detail: "must be the session's, or left out" }],
        });
      const ended = await endSession.end(sessionId, parseEnd(sessionId, body));
      if (ended !== 'active') sendEnded(response, ended);
    },
    gauges: [unsynced.gauge, ...(respond === null ? [] : [respond.gauge])],
    link,
    backlog: live.backlog,
    async close(withinMs) {
      clearInterval(retiring);
      stop.abort();
      await sweeping;
      await sync.close(withinMs);
      await link.close();
    },
  };
}

async function openResponder(config: Config, log: Logger) {
  const { responderModule } = config;
  if (responderModule === null) return null;
  try {
    const responder = await loadResponder(responderModule);
    log.info({ responder: responder.name }, 'the bot is answered for');
    return createRespond(responder, { timeoutMs: config.responderTimeoutMs, atOnce: config.responderConcurrency });
  } catch (error) {
    throw new StartError(`RESPONDER_MODULE ${responderModule} cannot be loaded: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
