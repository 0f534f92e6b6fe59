import { hostname } from 'node:os';
import { basename } from 'node:path';
import { type Consumer, createConsumer, createPublisher, type LaneSlots } from '../broker/index.ts';
import { type Config, configurationDigest, maskUrl } from '../config.ts';
import { createInFlight, createIntake, createLoader, createPauses, type Intake } from '../consume/index.ts';
import { createProfiler, profileRoutes } from '../diagnostics/index.ts';
import type { EventId } from '../event/event.ts';
import { detailRoutes, plainReady, probeRoutes } from '../health/index.ts';
import type { MemberState } from '../members/index.ts';
import type { Metrics, Sources } from '../metrics/index.ts';
import { metricsRoutes } from '../metrics/routes.ts';
import { warnWhenNearlyFull } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';
import { backoffMs, createCalendar, createSettler } from '../settle/index.ts';
import { openAnalysers } from '../start/analysers.ts';
import { countByLane, topologyOf } from '../start/broker.ts';
import { openServingDatabase } from '../start/database.ts';
import { followEndpoints } from '../start/endpoints.ts';
import { consumerTimeoutMs, longestWaitMs, maxConcurrent, statementDeadlineMs } from '../start/limits.ts';
import { logStart, processLogger } from '../start/log.ts';
import { controlsAtStart, startMembership } from '../start/membership.ts';
import { memoryLimits, startMemoryWatch } from '../start/memory.ts';
import { openMetricsPort } from '../start/metrics-port.ts';
import { startOutbox } from '../start/outbox.ts';
import { preparedScore } from '../start/prepared-scoring.ts';
import { pronunciationSteps, startPronunciation, tryPronunciation } from '../start/pronunciation.ts';
import { startPool } from '../start/score-pool.ts';
import { openTraces } from '../start/traces.ts';
import {
  countStart,
  erasedAt,
  glance,
  loadEvents,
  markProcessing,
  type Store,
  settleTransaction,
  uncountStart,
  workerName,
} from '../store/index.ts';
import { version } from '../version.ts';

/** A settling transaction is a few milliseconds; one that takes this long hangs. */
const settleDeadlineMs = 10_000;
/** Earlier versions published the log with the event; a message far larger than any request is from none of them. */
const messageOverhead = 4;

/**
 * Operators may raise the concurrency while a worker runs, and what was delivered before the change is held as well.
 */
const mostConcurrency = 2_000;

/** A worker: takes deliveries, scores, settles and relays. Runs until it is told to stop, then drains. */
export async function runWorker(config: Config): Promise<void> {
  const log = processLogger(config, 'worker');
  const stop = createStop(log);
  logStart(config, log);

  // Released in reverse order, also when a later step of the start fails.
  await using stack = new AsyncDisposableStack();
  stack.adopt(await openTraces(config, 'worker', log), (t) => t.close());
  const store = stack.adopt(await openServingDatabase(config, log, stop.signal), (s) => s.close());
  const pool = stack.adopt(await startPool(config, config.scoringThreads, stop.signal, log), (p) => p.close());
  noteConsumerTimeout(config, pool.waits, log);

  // Two connections: a broker alarm blocks the one that publishes, and acks must still get through.
  const name = `afterword worker ${hostname()} ${process.pid}`;
  const { startDeadlineMs } = config;
  const broker = { url: config.rabbitmqUrl, topology: topologyOf(config), startDeadlineMs, log };
  const publisher = stack.adopt(createPublisher({ ...broker, name: `${name} relay` }), (p) => p.close());
  const outbox = stack.adopt(startOutbox(config, store, publisher, log), (o) => o.close(2_000));

  const controls = await controlsAtStart(store);
  /** As operators have changed it. */
  let concurrency = controls.concurrency ?? config.concurrency;

  const giveUp = new AbortController();
  // When the drain times out, scorings are aborted and their deliveries go back to the queue.
  giveUp.signal.addEventListener('abort', () => void pool.close(), { once: true });
  const pronunciation = stack.adopt(startPronunciation(config, log), (p) => p.close());
  void tryPronunciation(config, pronunciation, log);
  const analysers = stack.adopt(await openAnalysers(config, log), (a) => a?.close());
  const preparations = [...pronunciationSteps(config, pronunciation), ...(analysers === null ? [] : [analysers])];
  const steps = databaseSteps(store, workerName({ host: hostname(), pid: process.pid }));
  // Often enough that one missed write does not make a running attempt look lost.
  const inFlight = createInFlight({ markProcessing: steps.markProcessing, remarkMs: config.lostAfterMs / 3, log });
  const hasListeners = await followEndpoints(store, stop.signal);
  const settler = createSettler({
    inTransaction: (work, locks) =>
      settleTransaction(
        store,
        { deadlineMs: settleDeadlineMs, locks, hasListeners: hasListeners(), hasStream: config.hasEventStream },
        work,
      ),
    policy: {
      maxAttempts: config.maxAttempts,
      delayMs: (attempt) => backoffMs(attempt, { baseMs: config.retryBaseMs, capMs: config.retryCapMs }),
      calendarDay: createCalendar(config.scoringTimezone),
    },
    maxQueued: mostConcurrency,
    running: () => inFlight.size,
    unscored: () => pool.waiting,
    giveUp: giveUp.signal,
    log,
  });
  const intake = createIntake({
    concurrency,
    poisonStarts: config.poisonStarts,
    inFlight,
    maxMessageBytes: config.maxBodyBytes * messageOverhead,
    giveUp,
    log,
    steps: {
      load: createLoader({
        loadEvents: (refs) => loadEvents(store, refs, statementDeadlineMs),
        maxQueued: mostConcurrency,
        giveUp: giveUp.signal,
        log,
      }),
      score: preparedScore(preparations, (text) => pool.score(text), { giveUp: giveUp.signal }),
      settle: (attempt) => settler.settle(attempt),
      wasErased: steps.wasErased,
      countStart: steps.countStart,
      uncountStart: steps.uncountStart,
    },
  });
  const limits = memoryLimits(config, process.memoryUsage.rss(), log);
  /** Known once there is a consumer. */
  const probe = { isReady: () => false, pausedBy: (): readonly string[] => [], slots: (): readonly LaneSlots[] => [] };
  const own = {
    memory: limits,
    connections: () => ({ ...store.usage, limit: config.databasePoolSize }),
    deliveries: () => ({ inFlight: inFlight.size, prefetch: concurrency }),
    ...(config.scoresPronunciation && { phonemes: pronunciation.cacheSize }),
    hasAnalysers: analysers !== null,
    threads: () => ({ total: config.scoringThreads, busy: pool.busyThreads, waiting: pool.waiting }),
    lanes: () => probe.slots(),
  };
  const gauges = [...publisher.gauges, outbox.gauge, ...(config.scoresPronunciation ? [pronunciation.gauge] : [])];
  const metrics = await countFor(config, { ...own, gauges });
  const profiler = createProfiler((ms, stop) => pool.profileThread(ms, stop));
  const ready = async () => plainReady(probe.isReady());
  const routes = [
    ...(metrics === null ? [] : metricsRoutes(metrics)),
    ...probeRoutes(ready),
    ...detailRoutes(ready, {
      role: 'worker',
      version,
      scorer: scorerName(config),
      configurationDigest: configurationDigest(config),
      gauges,
      ...own,
      deliveries: () => ({ ...own.deliveries(), pausedBy: probe.pausedBy() }),
      threads: () => ({ ...own.threads(), heapBytes: pool.heapBytes() }),
      askDatabase: () => glance(store, statementDeadlineMs),
      countMessages: () => countByLane(publisher),
    }),
    ...profileRoutes({
      profiler,
      threadHeaps: () => pool.heapBytes(),
      key: config.opsKey,
      allowsSnapshots: config.opsHeapSnapshots,
    }),
  ];
  await openMetricsPort(config, routes, log);
  const consumer = stack.adopt(
    createConsumer({
      ...broker,
      name,
      prefetch: concurrency,
      lanes: config.workerLanes,
      weights: config.laneWeights,
      isPaused: controls.isPaused,
      onDelivery: (delivery) => intake.onDelivery(delivery),
      onChannelLost: () => intake.onChannelLost(),
    }),
    (c) => c.close(),
  );
  const pauses = createPauses(consumer, controls.isPaused);
  probe.pausedBy = () => pauses.reasons;
  probe.slots = () => consumer.slots;
  let outOfMemory: StartError | null = null;
  const memory = startMemoryWatch(limits, log, {
    pause: () => void pauses.pause('memory'),
    resume: () => void pauses.resume('memory'),
    renewThreads: () => pool.renew(),
    drain(reason) {
      if (stop.signal.aborted) return; // it is ending anyway, and not for its memory
      outOfMemory = new StartError(`used too much memory and ended; its supervisor should start it again: ${reason}`, {
        mayPass: true,
      });
      stop.abort(reason);
    },
    isIdle: () => inFlight.size === 0,
  });
  stack.defer(() => memory.stop());
  // Paused on purpose is no reason to replace a worker.
  probe.isReady = () => (consumer.isConsuming || consumer.isPaused) && !stop.signal.aborted;
  const membership = stack.adopt(
    startMembership({
      store,
      role: 'worker',
      scorer: scorerName(config),
      vitals: () => ({
        state: stateOf(stop.signal, consumer),
        concurrency,
        inFlight: inFlight.size,
        threads: config.scoringThreads,
        busyThreads: pool.busyThreads,
        processed: intake.counters.processed,
      }),
      profiler,
      stop: stop.signal,
      log,
      controlled: {
        concurrency: config.concurrency,
        now: controls,
        worker: {
          pause: () => pauses.pause('operator'),
          resume: () => pauses.resume('operator'),
          async setConcurrency(wanted) {
            concurrency = wanted;
            intake.setConcurrency(wanted);
            await consumer.setPrefetch(wanted);
          },
          drain: () => stop.abort('drained by an operator'),
        },
      },
    }),
    (m) => m.stop(),
  );
  // A broker that is down is waited for. A broker that is set up differently is a mistake to report at once.
  let misconfigured: unknown;
  consumer.firstSession.then(
    () => {
      const concurrent = maxConcurrent(config, pool.waits);
      const { queueName: queue, scoringThreads: threads } = config;
      const prefetch = concurrency;
      const facts = { broker: maskUrl(config.rabbitmqUrl), queue, prefetch, concurrent, threads };
      if (controls.isPaused) log.warn(facts, 'paused by an operator, until `afterword resume`');
      else log.info(facts, 'consuming');
      void membership.beat();
      tellParent({ ready: true });
    },
    (error: unknown) => {
      misconfigured = error;
      stop.abort('misconfigured broker');
    },
  );
  stack.defer(warnWhenNearlyFull(gauges, log));
  const reporting = reportProgress(intake, inFlight, log);

  await aborted(stop.signal);
  log.info({ reason: String(stop.signal.reason), inFlight: inFlight.size }, 'draining');
  void membership.beat();
  await consumer.stopTaking(); // nothing new arrives, but the channel stays open for acks
  const givenBack = await intake.drain(config.drainMs);
  if (givenBack.length > 0)
    log.warn({ event_ids: givenBack }, 'not finished in time; these events go back to the queue, no attempt used');
  clearInterval(reporting);
  if (misconfigured instanceof Error) throw new StartError(misconfigured.message, { cause: misconfigured });
  log.info(notZero(intake.counters), 'stopped');
  if (outOfMemory !== null) throw outOfMemory;
}

/** Null without `METRICS_PORT`: then what counts is not even loaded. */
async function countFor(
  config: Config,
  sources: Omit<Sources, 'role' | 'version' | 'scorer'>,
): Promise<Metrics | null> {
  if (config.metricsPort === 0) return null;
  const { startMetrics } = await import('../metrics/index.ts');
  return startMetrics({ role: 'worker', version, scorer: scorerName(config), ...sources });
}

function stateOf(stop: AbortSignal, consumer: Pick<Consumer, 'isPaused' | 'isConsuming'>): MemberState {
  if (stop.aborted) return 'draining';
  if (consumer.isPaused) return 'paused';
  return consumer.isConsuming ? 'running' : 'starting';
}

function scorerName({ scorerModule }: Config): string {
  return scorerModule === null ? 'friendship' : basename(scorerModule);
}

function noteConsumerTimeout(config: Config, waits: boolean | null, log: Logger): void {
  const longest = longestWaitMs(config, waits);
  if (longest <= consumerTimeoutMs) return;
  // Only info, because every scoring of a full prefetch would have to run to its deadline. `afterword doctor` says what
  // to do.
  log.info(
    { longestWaitMs: longest, consumerTimeoutMs },
    "a delivery could wait longer than the broker's default consumer_timeout",
  );
}

function databaseSteps(store: Store, worker: string) {
  const deadlineMs = statementDeadlineMs;
  return {
    countStart: (id: EventId) => countStart(store, id, deadlineMs),
    uncountStart: (id: EventId) => uncountStart(store, id, deadlineMs),
    wasErased: async (id: EventId) => (await erasedAt(store, id, deadlineMs)) !== null,
    markProcessing: (attempts: readonly { eventId: EventId; runningMs: number }[]) =>
      markProcessing(store, attempts, { worker, deadlineMs }),
  };
}

/** Logs one line for every ten seconds in which something was settled. */
function reportProgress(intake: Intake, inFlight: { readonly size: number }, log: Logger): NodeJS.Timeout {
  let before = { ...intake.counters };
  const timer = setInterval(() => {
    const delta = notZero(subtract(intake.counters, before));
    if (Object.keys(delta).length > 0) log.info({ ...delta, inFlight: inFlight.size, overMs: 10_000 }, 'settled');
    before = { ...intake.counters };
  }, 10_000);
  timer.unref();
  return timer;
}

function subtract(now: Counts, before: Counts): Counts {
  return Object.fromEntries(Object.entries(now).map(([key, n]) => [key, n - (before[key] ?? 0)]));
}

function notZero(counts: Counts): Counts {
  return Object.fromEntries(Object.entries(counts).filter(([, n]) => n !== 0));
}

type Counts = Readonly<Record<string, number>>;
