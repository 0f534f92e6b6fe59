import { Server as NetServer } from 'node:net';
import { Router } from 'express';
import { acceptRouter, createAcceptor, createTake, maxBatches } from '../accept/index.ts';
import { createPublisher } from '../broker/index.ts';
import { type Config, configurationDigest } from '../config.ts';
import { contractRouter } from '../contract/index.ts';
import { createProfiler, profileRoutes } from '../diagnostics/index.ts';
import { erasureRouter } from '../erasure/index.ts';
import { PipelineError } from '../event/fault.ts';
import { sharesPort } from '../fleet/index.ts';
import { apiReady, createReadiness, detailRoutes, probeRoutes } from '../health/index.ts';
import { startMetrics } from '../metrics/index.ts';
import { metricsRoutes } from '../metrics/routes.ts';
import { operateRouter } from '../operate/index.ts';
import { pronunciationRouter } from '../pronunciation/router.ts';
import {
  createClosedWatch,
  createFeed,
  createReads,
  createResponseCache,
  maxExports,
  maxStreams,
  reportRouter,
} from '../report/index.ts';
import { warnWhenNearlyFull } from '../runtime/gauge.ts';
import {
  type CertificateFiles,
  createApp,
  createBodyBudget,
  createSlots,
  listen,
  mount,
  readCertificate,
} from '../runtime/http/index.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { createDryRun } from '../score/index.ts';
import { openAccess } from '../start/access.ts';
import { fairness, userAllowance } from '../start/allowances.ts';
import { openAnalysers } from '../start/analysers.ts';
import { countByLane, countQueues, topologyOf } from '../start/broker.ts';
import { operationsOf } from '../start/contract.ts';
import { openServingDatabase } from '../start/database.ts';
import { openErasure } from '../start/erasure.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { logStart, processLogger } from '../start/log.ts';
import { startMaintenance } from '../start/maintenance.ts';
import { startMembership } from '../start/membership.ts';
import { openMetricsPort } from '../start/metrics-port.ts';
import { startOutbox } from '../start/outbox.ts';
import { prepare } from '../start/prepared-scoring.ts';
import { pronunciationSteps, startPronunciation } from '../start/pronunciation.ts';
import { startReplica } from '../start/replica.ts';
import { reportSources } from '../start/report-sources.ts';
import { startPool } from '../start/score-pool.ts';
import { openTraces } from '../start/traces.ts';
import { startWebhooks } from '../start/webhooks.ts';
import {
  findEvent,
  glance,
  insertEvents,
  probeWrites,
  readClosed,
  readNewestClosed,
  retryEvent,
  retryFailed,
  skipEvent,
} from '../store/index.ts';
import { version } from '../version.ts';
import { webhookRouter } from '../webhooks/index.ts';

/** The API: accepts, publishes, relays and reports. Runs until it is told to stop, then drains. */
export async function runApi(config: Config): Promise<void> {
  const log = processLogger(config, 'api');
  const stop = createStop(log, sharesPort);
  logStart(config, log);

  await using stack = new AsyncDisposableStack();
  stack.adopt(await openTraces(config, 'api', log), (t) => t.close());
  const store = stack.adopt(await openServingDatabase(config, log, stop.signal, acceptBatches(config)), (s) =>
    s.close(),
  );

  const access = stack.adopt(await openAccess(config, store, log), (a) => a.close());

  const publisher = stack.adopt(
    createPublisher({
      url: config.rabbitmqUrl,
      topology: topologyOf(config),
      startDeadlineMs: config.startDeadlineMs,
      log,
      name: `afterword api ${process.pid}`,
    }),
    (p) => p.close(),
  );
  // Accepting works without a broker. A broker that is set up differently is a mistake to report at once.
  let misconfigured: unknown;
  publisher.firstSession.catch((error: unknown) => {
    misconfigured = error;
    stop.abort('misconfigured broker');
  });

  const outbox = stack.adopt(startOutbox(config, store, publisher, log), (o) => o.close(2_000));
  const acceptor = createAcceptor({
    storeEvents: (events) =>
      insertEvents(store, events, { graceMs: config.publishGraceMs, deadlineMs: config.acceptDeadlineMs }),
    publish: (event) => outbox.publishNew(event),
    deadlineMs: config.acceptDeadlineMs,
    maxBatchesInFlight: acceptBatches(config),
    laneRules: config.laneRules,
    maxAheadMs: config.scheduleMaxMs,
    retention:
      config.eventRetentionDays === 0
        ? null
        : {
            keepMs: config.eventRetentionDays * 86_400_000,
            isStored: async (id) => (await findEvent(store, { conversationId: id }, config.acceptDeadlineMs)) !== null,
          },
  });
  const pronunciation = stack.adopt(startPronunciation(config, log), (p) => p.close());
  let analysers: ReturnType<typeof openAnalysers> | null = null;
  stack.defer(async () => (await analysers?.catch(() => null))?.close());
  const preparations = async () => {
    analysers ??= openAnalysers(config, log).catch((error: unknown) => {
      analysers = null; // the next request tries again
      throw error;
    });
    const opened = await analysers;
    return [...pronunciationSteps(config, pronunciation), ...(opened === null ? [] : [opened])];
  };
  const dryRun = stack.adopt(
    createDryRun(
      (stop) => startPool(config, 1, stop, log),
      async (conversation) => prepare(await preparations(), conversation),
    ),
    (d) => d.close(),
  );
  const deadlineMs = config.acceptDeadlineMs;
  const batches = createSlots('batches', maxBatches);
  const exports = createSlots('exports', maxExports);
  const streams = createSlots('streams', maxStreams);
  const budget = createBodyBudget(config.acceptBufferBytes, config.maxBodyBytes);
  const sessions = await openSessions(config, stack, { store, acceptor, budget, log });
  const webhooks = stack.adopt(startWebhooks(config, store, log), (w) => w.close());
  stack.adopt(startMaintenance(config, store, log), (m) => m.close());
  const replica = stack.adopt(startReplica(config, store, log), (r) => r?.close());
  const sources = reportSources(config, store, replica);
  const closedWatch = createClosedWatch(sources.findClosed, stop.signal);
  const reads = createReads({
    findEvents: sources.findEvents,
    findNewest: sources.findNewest,
    atOnce: readsAtOnce(config),
    deadlineMs,
  });
  const cache = config.responseCacheMs === 0 ? null : createResponseCache(config.responseCacheMs);
  const gauges = [
    budget.gauge,
    batches.gauge,
    exports.gauge,
    streams.gauge,
    webhooks.gauge,
    acceptor.gauge,
    ...publisher.gauges,
    outbox.gauge,
    reads.gauge,
    closedWatch.gauge,
    dryRun.gauge,
    pronunciation.gauge,
    ...(sessions?.gauges ?? []),
  ];
  stack.defer(warnWhenNearlyFull(gauges, log));

  const connections = () => ({ ...store.usage, limit: config.databasePoolSize });
  const metrics = startMetrics({
    role: 'api',
    version,
    gauges,
    connections,
    queues: () => countQueues(publisher),
    phonemes: pronunciation.cacheSize,
    hasAnalysers: config.analysers.length > 0,
    hasWebhooks: true,
    hasMaintenance: true,
    ...(replica !== null && { replica: () => replica.watch }),
    database: () => glance(store, deadlineMs),
    ...(sessions !== null && {
      sessions: async () => (sessions.link.state === 'up' ? sessions.backlog().catch(() => null) : null),
    }),
  });
  const certificate = certificateOf(config);
  const profiler = createProfiler(null);
  const database = createReadiness({
    probe: () => probeWrites(store, deadlineMs),
    isSilence: (error) => error instanceof PipelineError && error.code === 'DATABASE_TIMEOUT',
  });
  const ready = async () => apiReady(await database(), publisher.ready, stop.signal.aborted);
  const routes = [
    ...metricsRoutes(metrics),
    ...probeRoutes(ready),
    ...detailRoutes(ready, {
      role: 'api',
      version,
      configurationDigest: configurationDigest(config),
      gauges,
      connections,
      askDatabase: () => glance(store, deadlineMs),
      countMessages: () => countByLane(publisher),
      ...(sessions !== null && { askRedis: sessions.backlog }),
    }),
  ];
  const diagnostics = profileRoutes({
    profiler,
    threadHeaps: () => [],
    key: config.opsKey,
    allowsSnapshots: config.opsHeapSnapshots,
  });
  let isListening = false;
  const membership = stack.adopt(
    startMembership({
      store,
      role: 'api',
      scorer: null,
      vitals: () => ({
        state: stop.signal.aborted ? 'draining' : isListening ? 'running' : 'starting',
        concurrency: null,
        inFlight: null,
        threads: null,
        busyThreads: null,
        processed: null,
      }),
      profiler,
      stop: stop.signal,
      log,
    }),
    (m) => m.stop(),
  );
  const operations = operationsOf({
    sessions: sessions?.operations ?? [],
    hasDiagnostics: config.opsKey !== null,
    hasStream: config.hasEventStream,
  });
  const app = createApp(
    [
      closeWhileDraining(stop.signal),
      access.gate(operations),
      // Callers reach this port, maybe through a proxy that does not say so: only with a key.
      mount(config.opsKey === null ? routes : [...routes, ...diagnostics]),
      acceptRouter({
        take: createTake({
          acceptor,
          endSession: sessions?.end ?? null,
          isNoisy: fairness(access.limits, config.fairRate),
        }),
        dryRun: dryRun.score,
        takeAllowance: userAllowance(access.limits, config.userEventsPerMinute),
        maxBodyBytes: config.maxBodyBytes,
        stop: stop.signal,
        ...{ batches, budget, log },
      }),
      ...(sessions === null ? [] : [sessions.router]),
      pronunciationRouter({
        open: async () => (await pronunciation.open()).assess,
        defaultLang: config.pronunciationLang,
        budget,
      }),
      operateRouter({
        retryEvent: (id, actor) => retryEvent(store, id, { actor, deadlineMs: statementDeadlineMs }),
        skipEvent: (id, reason, actor) =>
          skipEvent(store, id, reason, { actor, deadlineMs: statementDeadlineMs, hasStream: config.hasEventStream }),
        retryFailed: async (filter, limit, actor) =>
          (await retryFailed(store, filter, { limit, actor, deadlineMs: statementDeadlineMs })).retried,
      }),
      reportRouter({
        reads,
        ...sources,
        cache,
        closedWatch,
        feed: config.hasEventStream
          ? createFeed({
              readClosed: (after, limit) => reads.bounded(() => readClosed(store, after, limit, deadlineMs)),
              readNewestClosed: (limit) => reads.bounded(() => readNewestClosed(store, limit, deadlineMs)),
            })
          : null,
        ...{ exports, streams, log, stop: stop.signal },
        acceptDeadlineMs: config.acceptDeadlineMs,
        maxBodyBytes: config.maxBodyBytes,
      }),
      erasureRouter(openErasure(config, store, sessions?.erase ?? null, cache?.forgetUser)),
      webhookRouter(webhooks.endpoints),
      contractRouter(operations, version),
    ],
    { ...config, hasTls: certificate !== null },
    log,
  );

  const listening = listen(app, { ...config, certificate, longBodies }, log);
  const { server, url } = await listening.catch((error: { code?: string }) => {
    const what =
      error.code === 'EADDRINUSE' ? 'is in use: stop that server, or set PORT' : `cannot be used (${error.code})`;
    throw new StartError(`${config.host}:${config.port} ${what}`, { cause: error });
  });
  await openMetricsPort(config, [...routes, ...diagnostics], log);
  log.info({ url }, 'accepting');
  isListening = true;
  void membership.beat();
  tellParent({ ready: true, url });

  await aborted(stop.signal);
  log.info({ reason: String(stop.signal.reason) }, 'draining');
  void membership.beat();
  // Only the port: `http.Server` would also close idle connections at once.
  const drained = new Promise((resolve) => NetServer.prototype.close.call(server, resolve));
  // Keep-alive connections become idle again after their last answer, so they are swept until none is left. Where
  // others go on at the same address, a client that is about to use one must not find it closed.
  const sweepFrom = performance.now() + (sharesPort ? Math.min(politeMs, config.drainMs / 2) : 0);
  const sweep = setInterval(() => performance.now() >= sweepFrom && server.closeIdleConnections(), 50);
  // Long waits for a status end with the drain; accepts in progress need milliseconds.
  if (!(await settlesWithin(drained, config.drainMs))) server.closeAllConnections();
  clearInterval(sweep);
  await settlesWithin(acceptor.idle(), deadlineMs);
  if (misconfigured instanceof Error) throw new StartError(misconfigured.message, { cause: misconfigured });
  log.info('stopped');
}

/** Loaded only if `REDIS_URL` is set: an API without live sessions does without their packages. */
async function openSessions(
  config: Config,
  stack: AsyncDisposableStack,
  parts: Parameters<typeof import('../start/sessions.ts').startSessions>[1],
) {
  const { redisUrl } = config;
  if (redisUrl === null) return null;
  const { startSessions } = await import('../start/sessions.ts');
  return stack.adopt(await startSessions({ ...config, redisUrl }, parts), (s) => s.close(config.drainMs));
}

/** How long clients may use their connections once more, to be told that it was the last time. */
const politeMs = 2_000;

/** Of any length: their lines have the limit. */
const longBodies = ['/v1/conversations/end/batch'];

/** @throws {StartError} if it cannot be used: told here, and not with the first connection. */
function certificateOf({ tlsCertFile: cert, tlsKeyFile: key }: Config): CertificateFiles | null {
  if (cert === null || key === null) return null;
  try {
    readCertificate({ cert, key });
    return { cert, key };
  } catch (error) {
    throw new StartError(`TLS_CERT_FILE and TLS_KEY_FILE cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Measured: a third and fourth batch hide round trips, more do not (docs/decisions/0002). */
const mostBatches = 4;

/**
 * Batches of accepts that are stored concurrently, each on its own connection. The rest of the pool is for everything
 * else.
 */
function acceptBatches({ databasePoolSize }: Config): number {
  return Math.min(mostBatches, Math.floor(databasePoolSize / 2));
}

/**
 * Connections that reports may hold at the same time: half of what accepting leaves, so that marks, claims and probes
 * always find one.
 */
function readsAtOnce(config: Config): number {
  return Math.max(1, Math.floor((config.databasePoolSize - acceptBatches(config)) / 2));
}

/** Tells clients on keep-alive connections to close them: their next request would come too late. */
function closeWhileDraining(stop: AbortSignal): Router {
  return Router().use((_request, response, next) => {
    if (stop.aborted) response.setHeader('Connection', 'close');
    next();
  });
}
