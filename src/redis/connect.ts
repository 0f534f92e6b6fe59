import { PipelineError } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBackoff } from '../runtime/wait.ts';
import { type Client, openClient } from './client.ts';

/** `recovering`: Redis answers, and what it may have lost is being found out. */
type LinkState = 'up' | 'recovering' | 'away';

export type RedisLink = {
  readonly client: Client;
  readonly isCluster: boolean;
  readonly state: LinkState;
  /** Milliseconds until every process of the fleet should have reconciled with a Redis that has restarted. */
  readonly unsettledMs: number;
  /** Runs a command. @throws {PipelineError} transient; after a silence, Redis counts as away until it answers. */
  run<T>(work: (client: Client) => Promise<unknown>): Promise<T>;
  close(): Promise<void>;
};

/** Far more than a busy Redis needs, and far less than a caller would wait. */
const commandTimeoutMs = 1_000;
const sayFullEveryMs = 30_000;
/** After a restart of Redis, all processes have connected again and told the database what it has lost. */
const settledAfterMs = 10_000;

/**
 * One connection, or one to each node of a cluster: commands of the same turn of the event loop are sent together.
 * While Redis is away, commands fail at once.
 *
 * @param options.url  `redis://` or `rediss://` (TLS); for a cluster, `?cluster=true` and any number of hosts.
 * @param options.recover  runs after each connect before Redis is used again; if it fails, it is tried again.
 */
export function connectRedis(options: {
  readonly url: string;
  readonly name: string;
  readonly recover: () => Promise<void>;
  /** Whether a Redis that has just started may have had anything before. */
  readonly mayHaveLost: () => Promise<boolean>;
  /** Called once: null when Redis can be used, or with why the first attempt failed. */
  readonly onFirst?: (error: Error | null) => void;
  readonly log: Logger;
}): RedisLink {
  const { log } = options;
  const backoff = createBackoff(100, 2_000);
  const { client, isCluster } = openClient(options.url, options.name, {
    commandTimeoutMs,
    delayMs: () => backoff.next(),
  });
  let state: LinkState = 'away';
  let isClosed = false;
  let isWaiting = false;
  let hasSpoken = false;
  /** Numbers the recoveries, so that one that was overtaken by a lost connection does not end the next one. */
  let attempts = 0;
  let knownRunId: string | null = null;
  let settledAt = 0;
  let saidFullAt = Number.NEGATIVE_INFINITY;
  let first = options.onFirst;

  function tellFirst(error: Error | null): void {
    first?.(error);
    first = undefined;
  }

  function sayFull(): void {
    if (performance.now() < saidFullAt + sayFullEveryMs) return;
    saidFullAt = performance.now();
    log.warn('Redis is full (maxmemory): new messages go straight to the database');
  }

  function leave(error: unknown): void {
    if (state === 'away' || isClosed) return;
    state = 'away';
    telemetry.redisLink.tell({ isUp: false });
    log.warn({ reason: reasonOf(error) }, 'Redis is away: messages go straight to the database');
  }

  /**
   * A Redis that has restarted, or another one behind the same name, may have lost what others were answered. In a
   * cluster it is any of the nodes that says who it is, and a new connection may count as a restart.
   */
  async function noteRestart(): Promise<void> {
    const info = await client.info('server');
    const runId = /run_id:(\w+)/.exec(info)?.[1];
    const upMs = Number(/uptime_in_seconds:(\d+)/.exec(info)?.[1] ?? 0) * 1_000;
    const isOther = knownRunId !== null && runId !== knownRunId;
    const isFirst = knownRunId === null;
    knownRunId = runId ?? null;
    if (isOther || (isFirst && upMs < settledAfterMs && (await options.mayHaveLost())))
      settledAt = performance.now() + settledAfterMs - (isOther ? 0 : Math.min(upMs, settledAfterMs));
  }

  async function arrive(): Promise<void> {
    if (isClosed || state !== 'away') return;
    state = 'recovering';
    const attempt = ++attempts;
    try {
      // It may answer and refuse writes, and would then come and go with each message.
      await client.del('{sessions}:probe');
      await noteRestart();
      await options.recover();
    } catch (error) {
      if (attempt !== attempts) return;
      state = 'away';
      if (!isWaiting) log.warn({ err: error, reason: reasonOf(error) }, 'Redis answers, and cannot be used yet');
      isWaiting = true;
      setTimeout(() => client.status === 'ready' && void arrive(), backoff.next()).unref();
      return;
    }
    // The connection was lost meanwhile: what was found out is no longer true, and the next one finds it out again.
    if (attempt !== attempts || state !== 'recovering') return;
    backoff.reset();
    isWaiting = false;
    state = 'up';
    telemetry.redisLink.tell({ isUp: true });
    tellFirst(null);
    log.info(hasSpoken ? 'Redis is back' : 'Redis connected');
    hasSpoken = true;
  }

  client.on('ready', () => void arrive());
  client.on('close', () => leave(new Error('the connection to Redis was lost')));
  client.on('error', (error: Error) => {
    tellFirst(error);
    if (!hasSpoken)
      log.warn({ reason: reasonOf(error) }, 'Redis not reachable yet: messages go straight to the database');
    hasSpoken = true;
  });

  return {
    client,
    isCluster,
    get state() {
      return state;
    },
    get unsettledMs() {
      return Math.max(0, settledAt - performance.now());
    },
    async run<T>(work: (client: Client) => Promise<unknown>) {
      if (state === 'away') throw unavailable(new Error('Redis is away'));
      try {
        return (await work(client)) as T;
      } catch (error) {
        if (isSilence(error)) {
          // Its answers may still come, and nobody can tell to what: a new connection begins afresh.
          leave(error);
          client.disconnect(true);
        } else if (isFull(error)) {
          sayFull();
        } else if (isUnable(error) && state === 'up') {
          leave(error);
          setTimeout(() => client.status === 'ready' && void arrive(), backoff.next()).unref();
        }
        throw unavailable(error);
      }
    },
    async close() {
      isClosed = true;
      state = 'away';
      await client.quit().catch(() => {});
      client.disconnect();
    },
  };
}

function unavailable(cause: unknown): PipelineError {
  return new PipelineError('transient', 'REDIS_UNAVAILABLE', 'a Redis command failed', { cause });
}

/** What an operator looks for: Redis's own word for it, or the system's. Its messages may quote what was sent. */
function reasonOf(error: unknown): string {
  const { message = '', code } = (error ?? {}) as { readonly message?: string; readonly code?: unknown };
  if (isSilence(error)) return `no answer within ${commandTimeoutMs} ms`;
  return String(code ?? /^[A-Z]{3,}/.exec(message)?.[0] ?? 'connection lost');
}

function isSilence(error: unknown): boolean {
  return error instanceof Error && error.message === 'Command timed out';
}

/** It takes no more messages; everything that frees memory goes on. */
function isFull(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('OOM');
}

/** Redis answers, and cannot write: it is loading, a replica, or its disk fails; or it is not what we were told. */
function isUnable(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(?:LOADING|READONLY|MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|MOVED|CROSSSLOT|BUSY|NOAUTH|NOPERM|WRONGPASS)/.test(
      error.message,
    )
  );
}
