import { extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FixedQueue, Piscina } from 'piscina';
import { PipelineError } from '../event/fault.ts';
import type { Outcome } from '../event/outcome.ts';
import type { Logger } from '../runtime/log.ts';
import { createHandOver } from './hand-over.ts';
import type { ScoreWeights } from './scorer.ts';
import type { GroupReply, ScoreReply, ThreadSettings } from './task.ts';

/** A thread's reply, or what became of the thread. */
export type PoolReply = ScoreReply | { readonly kind: 'lost'; readonly outcome: Extract<Outcome, { kind: 'failed' }> };

export type ScorePool = {
  /** Scores a message body. Waits for a free thread; the scoring deadline counts from when it has one. Never rejects but at the end. */
  score(body: Uint8Array): Promise<PoolReply>;
  /** Bodies that wait for a thread. */
  readonly waiting: number;
  /** Ends the threads; a scoring that still runs rejects (transient, `POOL_CLOSED`). */
  close(): Promise<void>;
};

export type ScorePoolOptions = {
  readonly threads: number;
  readonly threadMemoryMb: number;
  readonly timeoutMs: number;
  readonly weights: ScoreWeights;
  /** Path of a module, as in `SCORER_MODULE`; null for the friendship scorer. */
  readonly scorerModule: string | null;
  readonly log: Logger;
};

const beside = (name: string) => new URL(`./${name}${extname(import.meta.filename)}`, import.meta.url);

/**
 * Starts the scoring threads.
 * @throws if the scorer module cannot be loaded in a thread: a fleet that cannot score should not start.
 */
export async function startScorePool(options: ScorePoolOptions): Promise<ScorePool> {
  const scorerUrl = options.scorerModule ? pathToFileURL(resolve(options.scorerModule)).href : beside('friendship/scorer').href;
  const settings: ThreadSettings = { scorerUrl, weights: options.weights };
  const pool = new Piscina<readonly Uint8Array[], GroupReply>({
    filename: fileURLToPath(beside('task')),
    workerData: settings,
    minThreads: options.threads,
    maxThreads: options.threads,
    taskQueue: new FixedQueue(),
    // No more groups are handed over than the threads can run; this only turns a mistake into an error.
    maxQueue: options.threads,
    resourceLimits: { maxOldGenerationSizeMb: options.threadMemoryMb },
  });
  // Also emitted for a thread that died at work, which its task reports by itself.
  pool.on('error', (error) => options.log.debug({ err: error }, 'scoring thread failed'));
  try {
    await Promise.all(Array.from({ length: options.threads }, () => pool.run([])));
  } catch (cause) {
    await pool.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError('permanent', 'SCORER_MODULE', `the scorer ${options.scorerModule ?? ''} cannot be used: ${reason}`, { cause });
  }

  const handOver = createHandOver<ScoreReply>({
    threads: options.threads,
    run(bodies) {
      const own = copyTogether(bodies);
      return pool.run(own, { transferList: own.slice(0, 1).map(({ buffer }) => buffer), signal: AbortSignal.timeout(options.timeoutMs) });
    },
  });
  let closed: PipelineError | null = null;
  return {
    async score(body) {
      try {
        return await handOver.submit(body);
      } catch (error) {
        if (closed !== null) throw closed;
        return { kind: 'lost', outcome: lostThread(error, options.timeoutMs) };
      }
    },
    get waiting() {
      return handOver.waiting;
    },
    async close() {
      closed = new PipelineError('transient', 'POOL_CLOSED', 'the scoring threads have ended');
      handOver.close(closed);
      await pool.destroy();
    },
  };
}

/** Views of one buffer of their own: a delivery's bytes are a view of the socket's buffer, which a transfer would take along. */
function copyTogether(bodies: readonly Uint8Array[]): Uint8Array<ArrayBuffer>[] {
  const buffer = new ArrayBuffer(bodies.reduce((sum, body) => sum + body.length, 0));
  let at = 0;
  return bodies.map((body) => {
    const copy = new Uint8Array(buffer, at, body.length);
    copy.set(body);
    at += body.length;
    return copy;
  });
}

/** An abort is our deadline; anything else ended the thread: out of memory, `process.exit`, a crash. */
function lostThread(error: unknown, timeoutMs: number): Extract<Outcome, { kind: 'failed' }> {
  if ((error as { name?: unknown } | null)?.name === 'AbortError') {
    return {
      kind: 'failed',
      permanent: false,
      code: 'SCORING_TIMEOUT',
      details: `scoring ran for over ${timeoutMs} ms; its thread was ended`,
    };
  }
  const code = (error as { code?: unknown } | null)?.code;
  return {
    kind: 'failed',
    permanent: false,
    code: 'SCORING_THREAD_DIED',
    details: `the scoring thread ended${code ? ` (${String(code)})` : ''}`,
  };
}
