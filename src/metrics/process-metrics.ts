import { collectDefaultMetrics, Gauge as Metric, type Registry } from 'prom-client';
import type { Gauge } from '../runtime/gauge.ts';
import { settlesWithin } from '../runtime/wait.ts';

/** What a process says of itself when it is asked. All of it is optional: roles differ. */
export type Sources = {
  readonly role: string;
  readonly version: string;
  readonly scorer?: string;
  /** Bounded queues (docs/bounds.md). */
  readonly gauges?: readonly Gauge[];
  readonly connections?: () => { readonly waiting: number; readonly inUse: number; readonly limit: number };
  readonly deliveries?: () => { readonly inFlight: number; readonly prefetch: number };
  readonly threads?: () => { readonly total: number; readonly busy: number; readonly waiting: number };
  /** Limits of the process's memory, bytes; null: none. */
  readonly memory?: { readonly softBytes: number | null; readonly hardBytes: number | null };
  /** Null if the broker cannot be asked. */
  readonly queues?: () => Promise<readonly QueueCount[] | null>;
  /** How a worker's slots are divided between the lanes. */
  readonly lanes?: () => readonly { readonly lane: string; readonly slots: number; readonly held: number }[];
  /** Rejects if the database cannot be asked. Times in milliseconds; `oldestOpenAt` since the epoch, null: none. */
  readonly database?: () => Promise<{ readonly oldestOpenAt: number | null; readonly clockSkewMs: number }>;
  /** Conversations are analysed elsewhere. */
  readonly hasAnalysers?: boolean;
  readonly hasWebhooks?: boolean;
  readonly hasMaintenance?: boolean;
  /** Only with a read replica. `lagMs`: null while it is not known. */
  readonly replica?: () => { readonly isFresh: boolean; readonly lagMs: number | null };
  /** What the cache of phonemes holds in this process. */
  readonly phonemes?: () => { readonly entries: number; readonly bytes: number };
  /** What live sessions have in Redis for the database; null if Redis cannot be asked. */
  readonly sessions?: () => Promise<{
    readonly sessions: number;
    readonly bytes: number;
    readonly oldest: Date | null;
  } | null>;
};

type QueueCount = {
  readonly queue: 'main' | 'high' | 'low' | 'dead';
  readonly messages: number;
  readonly consumers: number;
};

/** A server that says nothing must not hold up a scrape. */
const answerMs = 2_000;

export function recordProcess(sources: Sources, registers: Registry[]): void {
  for (const register of registers) collectDefaultMetrics({ register });
  const metric = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collect: (this: Metric<L>) => void | Promise<void>,
  ) => new Metric({ name, help, labelNames, registers, collect });

  const { role, version, scorer = '' } = sources;
  metric(
    'afterword_build_info',
    'Always 1; what runs here is in the labels.',
    ['version', 'role', 'scorer'],
    function () {
      this.set({ version, role, scorer }, 1);
    },
  );
  const { gauges, connections, deliveries, threads, memory, queues, lanes, database, phonemes, sessions } = sources;
  if (gauges) {
    metric('afterword_bounded_queue_items', 'What a bounded queue of the process holds.', ['queue'], function () {
      for (const { name, held } of gauges) this.set({ queue: name }, held());
    });
    metric('afterword_bounded_queue_limit', 'The bound of that queue.', ['queue'], function () {
      for (const { name, bound } of gauges) this.set({ queue: name }, bound);
    });
  }
  if (connections) {
    metric(
      'afterword_database_connections',
      'Connections in use, and work that waits for one.',
      ['state'],
      function () {
        const { waiting, inUse } = connections();
        this.set({ state: 'in_use' }, inUse);
        this.set({ state: 'waiting' }, waiting);
      },
    );
    metric('afterword_database_connections_limit', 'DATABASE_POOL_SIZE.', [], function () {
      this.set(connections().limit);
    });
  }
  if (deliveries) {
    metric('afterword_in_flight', 'Deliveries that are being processed.', [], function () {
      this.set(deliveries().inFlight);
    });
    metric('afterword_prefetch', 'MESSAGE_CONCURRENCY_PER_WORKER.', [], function () {
      this.set(deliveries().prefetch);
    });
  }
  if (threads) {
    metric('afterword_scoring_threads', 'Scoring threads by state.', ['state'], function () {
      const { total, busy } = threads();
      this.set({ state: 'busy' }, busy);
      this.set({ state: 'idle' }, Math.max(0, total - busy));
    });
    metric('afterword_scoring_waiting', 'Conversations that wait for a scoring thread.', [], function () {
      this.set(threads().waiting);
    });
  }
  if (memory) {
    metric('afterword_memory_limit_bytes', 'Limits of the memory of the process.', ['limit'], function () {
      if (memory.softBytes !== null) this.set({ limit: 'soft' }, memory.softBytes);
      if (memory.hardBytes !== null) this.set({ limit: 'hard' }, memory.hardBytes);
    });
  }
  if (phonemes) {
    metric('afterword_phoneme_cache_entries', 'Texts whose phonemes this process keeps.', [], function () {
      this.set(phonemes().entries);
    });
    metric('afterword_phoneme_cache_bytes', 'About what they take; at most PHONEME_CACHE_MB.', [], function () {
      this.set(phonemes().bytes);
    });
  }
  if (sources.replica) recordReplica(sources.replica, metric);
  if (lanes) recordLanes(lanes, metric);
  if (queues) recordQueues(queues, metric);
  if (database) recordDatabase(database, metric);
  if (sessions) recordBacklog(sessions, metric);
}

type MakeMetric = <L extends string>(
  name: string,
  help: string,
  labelNames: readonly L[],
  collect: (this: Metric<L>) => void | Promise<void>,
) => Metric<L>;

function recordDatabase(database: NonNullable<Sources['database']>, metric: MakeMetric): void {
  const ask = oncePerScrape(database);
  metric('afterword_database_up', '1 if the database answered this scrape.', [], async function () {
    this.set((await ask()) === null ? 0 : 1);
  });
  metric('afterword_oldest_open_event_age_seconds', 'Age of the oldest open event; 0: none.', [], async function () {
    const answer = await ask();
    if (answer === null) return this.remove();
    this.set(answer.oldestOpenAt === null ? 0 : Math.max(0, Date.now() - answer.oldestOpenAt) / 1_000);
  });
  metric('afterword_database_clock_skew_seconds', "The database's clock minus ours.", [], async function () {
    const answer = await ask();
    if (answer === null) this.remove();
    else this.set(answer.clockSkewMs / 1_000);
  });
}

function recordReplica(replica: NonNullable<Sources['replica']>, metric: MakeMetric): void {
  metric('afterword_replica_used', '1 while reports are read from the replica.', [], function () {
    this.set(replica().isFresh ? 1 : 0);
  });
  metric('afterword_replica_lag_seconds', 'How far the replica is behind.', [], function () {
    const { lagMs } = replica();
    if (lagMs === null) this.remove();
    else this.set(lagMs / 1_000);
  });
}

function recordLanes(lanes: NonNullable<Sources['lanes']>, metric: MakeMetric): void {
  metric('afterword_lane_slots', 'Deliveries of a lane that may be held.', ['lane'], function () {
    for (const { lane, slots } of lanes()) this.set({ lane }, slots);
  });
  metric('afterword_lane_deliveries', 'Deliveries of a lane that are held.', ['lane'], function () {
    for (const { lane, held } of lanes()) this.set({ lane }, held);
  });
}

function recordQueues(queues: NonNullable<Sources['queues']>, metric: MakeMetric): void {
  const ask = oncePerScrape(queues);
  metric('afterword_queue_messages', 'Messages ready in the broker, by queue.', ['queue'], async function () {
    this.reset();
    for (const { queue, messages } of (await ask()) ?? []) this.set({ queue }, messages);
  });
  metric('afterword_queue_consumers', 'Consumers of the queue.', ['queue'], async function () {
    this.reset();
    for (const { queue, consumers } of (await ask()) ?? []) this.set({ queue }, consumers);
  });
  metric('afterword_broker_up', '1 if the broker answered this scrape.', [], async function () {
    this.set((await ask()) === null ? 0 : 1);
  });
}

function recordBacklog(backlog: NonNullable<Sources['sessions']>, metric: MakeMetric): void {
  const ask = oncePerScrape(backlog);
  metric('afterword_redis_up', '1 if Redis is in use, and answered this scrape.', [], async function () {
    this.set((await ask()) === null ? 0 : 1);
  });
  const ofBacklog = (
    name: string,
    help: string,
    value: (backlog: { sessions: number; bytes: number; oldest: Date | null }) => number,
  ) =>
    metric(name, help, [], async function () {
      const found = await ask();
      if (found === null) this.remove();
      else this.set(value(found));
    });
  ofBacklog(
    'afterword_sessions_pending',
    'Live sessions with messages that are not in the database.',
    (b) => b.sessions,
  );
  ofBacklog('afterword_sessions_pending_bytes', 'Text of those messages.', (b) => Math.max(0, b.bytes));
  ofBacklog('afterword_sessions_sync_lag_seconds', 'How long the oldest of them has waited.', (b) =>
    b.oldest === null ? 0 : Math.max(0, Date.now() - b.oldest.getTime()) / 1_000,
  );
}

/** Metrics that are collected at the same time share one question. */
function oncePerScrape<T>(question: () => Promise<T | null>): () => Promise<T | null> {
  let asked: Promise<T | null> | null = null;
  return () => {
    asked ??= inTime(question()).finally(() => {
      asked = null;
    });
    return asked;
  };
}

/** Null if there is no answer in time, or it is an error. */
async function inTime<T>(answer: Promise<T | null>): Promise<T | null> {
  const safe = answer.catch(() => null);
  return (await settlesWithin(safe, answerMs)) ? safe : null;
}
