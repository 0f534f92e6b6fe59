import { statfs } from 'node:fs/promises';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import type { Gauge } from '../runtime/gauge.ts';
import { lastErrors } from '../runtime/last-errors.ts';
import { settlesWithin } from '../runtime/wait.ts';

/** What a process says of itself when a person asks. Optional: roles differ. */
export type DetailSources = {
  readonly role: 'api' | 'worker';
  readonly version: string;
  readonly scorer?: string;
  /** Of the settings that all members of a fleet should share. */
  readonly configurationDigest: string;
  readonly gauges: readonly Gauge[];
  readonly connections: () => { readonly inUse: number; readonly waiting: number; readonly limit: number };
  /** `pausedBy`: who wants that nothing new is taken. */
  readonly deliveries?: () => {
    readonly inFlight: number;
    readonly prefetch: number;
    readonly pausedBy: readonly string[];
  };
  readonly threads?: () => {
    readonly total: number;
    readonly busy: number;
    readonly waiting: number;
    readonly heapBytes: readonly number[];
  };
  readonly memory?: { readonly softBytes: number | null; readonly hardBytes: number | null };
  /** Rejects if the database does not answer. */
  readonly askDatabase: () => Promise<unknown>;
  /** Messages that wait in the queues, by lane; null if the broker cannot be asked now. */
  readonly countMessages: () => Promise<Readonly<Record<string, number>> | null>;
  /** How a worker's slots are divided between the lanes. */
  readonly lanes?: () => readonly { readonly lane: string; readonly slots: number; readonly held: number }[];
  /** Rejects if Redis does not answer. */
  readonly askRedis?: () => Promise<unknown>;
};

/** A silent server is not waited for any longer. */
const answerMs = 2_000;

/** Answers this old are given again: they ask both servers, and anybody may ask for them. */
const freshMs = 1_000;

/** JSON for a person: a few kilobytes, in at most two seconds. All who ask within a second get the same answer. */
export function createDetails(sources: DetailSources): () => Promise<Record<string, unknown>> {
  let answer: Promise<Record<string, unknown>> | null = null;
  return () => {
    answer ??= describe(sources).finally(() => {
      setTimeout(() => {
        answer = null;
      }, freshMs).unref();
    });
    return answer;
  };
}

async function describe(sources: DetailSources): Promise<Record<string, unknown>> {
  const [database, messages, redis, disk] = await Promise.all([
    timed(sources.askDatabase()),
    timed(sources.countMessages()),
    sources.askRedis && timed(sources.askRedis()),
    diskHere(),
  ]);
  const { rss, heapUsed, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const connections = sources.connections();
  const deliveries = sources.deliveries?.();
  const threads = sources.threads?.();
  const byLane = (messages.value ?? null) as Awaited<ReturnType<typeof sources.countMessages>>;
  const messagesWaiting = byLane === null ? null : Object.values(byLane).reduce((a, b) => a + b, 0);
  return {
    role: sources.role,
    version: sources.version,
    node: process.version,
    ...(sources.scorer !== undefined && { scorer: sources.scorer }),
    uptime_seconds: Math.round(process.uptime()),
    configuration_digest: sources.configurationDigest,
    messages_waiting: messagesWaiting,
    messages_waiting_by_lane: byLane,
    dependencies: {
      database: { answers: database.ok, ms: database.ms },
      broker: { answers: messagesWaiting !== null, ms: messages.ms },
      ...(redis && { redis: { answers: redis.ok, ms: redis.ms } }),
    },
    queues: sources.gauges.map(({ name, bound, held }) => ({ name, held: held(), bound })),
    connections: { in_use: connections.inUse, waiting: connections.waiting, limit: connections.limit },
    ...(deliveries && {
      deliveries: { in_flight: deliveries.inFlight, prefetch: deliveries.prefetch, paused_by: deliveries.pausedBy },
    }),
    ...(sources.lanes && { lanes: sources.lanes() }),
    ...(threads && {
      threads: {
        total: threads.total,
        busy: threads.busy,
        waiting: threads.waiting,
        heap_bytes: threads.heapBytes,
      },
    }),
    memory: {
      rss_bytes: rss,
      heap_used_bytes: heapUsed,
      external_bytes: external,
      ...(sources.memory && {
        soft_limit_bytes: sources.memory.softBytes,
        hard_limit_bytes: sources.memory.hardBytes,
      }),
    },
    system: {
      cores: availableParallelism(),
      load: loadavg().map((n) => Math.round(n * 100) / 100),
      cpu_seconds: Math.round((user + system) / 1e5) / 10,
      memory_bytes: totalmem(),
      memory_available_bytes: process.availableMemory(),
      disk,
    },
    last_errors: lastErrors.list().map(({ code, said, count, at }) => ({ code, said, count, at })),
  };
}

async function timed(answer: Promise<unknown>): Promise<{ ok: boolean; value: unknown; ms: number }> {
  const began = performance.now();
  let ok = false;
  let value: unknown = null;
  const safe = answer.then(
    (got) => {
      ok = true;
      value = got;
    },
    () => {},
  );
  await settlesWithin(safe, answerMs);
  return { ok, value, ms: Math.round((performance.now() - began) * 10) / 10 };
}

/** Of the working directory; null where that cannot be asked. */
async function diskHere(): Promise<{ readonly bytes: number; readonly free_bytes: number } | null> {
  try {
    const { bsize, blocks, bavail } = await statfs('.');
    return { bytes: bsize * blocks, free_bytes: bsize * bavail };
  } catch {
    return null;
  }
}
