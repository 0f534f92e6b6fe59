import { extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FixedQueue, Piscina } from 'piscina';
import { PipelineError } from '../event/fault.ts';
import type { Outcome } from '../event/outcome.ts';
import type { Logger } from '../runtime/log.ts';
import type { ScoreWeights } from './scorer.ts';
import type { ScoreReply, ThreadSettings } from './task.ts';

/** A thread's reply, or what became of the thread. */
export type PoolReply = ScoreReply | { readonly kind: 'lost'; readonly outcome: Extract<Outcome, { kind: 'failed' }> };

export type ScorePool = {
  /** Scores a message body. Waits for a free thread; the scoring deadline counts from when it has one. Never rejects but at the end. */
  score(body: Uint8Array): Promise<PoolReply>;
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
  const pool = new Piscina<Uint8Array, ScoreReply>({
    filename: fileURLToPath(beside('task')),
    workerData: settings,
    minThreads: options.threads,
    maxThreads: options.threads,
    taskQueue: new FixedQueue(),
    // The slots below never hand out more than the threads can run; this only turns a mistake into an error.
    maxQueue: options.threads,
    resourceLimits: { maxOldGenerationSizeMb: options.threadMemoryMb },
  });
  // Also emitted for a thread that died at work, which its task reports by itself.
  pool.on('error', (error) => options.log.debug({ err: error }, 'scoring thread failed'));
  try {
    await Promise.all(Array.from({ length: options.threads }, () => pool.run(new Uint8Array())));
  } catch (cause) {
    await pool.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError('permanent', 'SCORER_MODULE', `the scorer ${options.scorerModule ?? ''} cannot be used: ${reason}`, { cause });
  }

  const slots = createSlots(options.threads);
  let closed = false;
  return {
    async score(body) {
      await slots.take();
      if (closed) throw new PipelineError('transient', 'POOL_CLOSED', 'the scoring threads have ended');
      // A copy of its own: a delivery's bytes are a view of the socket's buffer, which a transfer would take along.
      const bytes = new Uint8Array(body);
      try {
        return await pool.run(bytes, { transferList: [bytes.buffer], signal: AbortSignal.timeout(options.timeoutMs) });
      } catch (error) {
        if (closed) throw new PipelineError('transient', 'POOL_CLOSED', 'the scoring threads have ended', { cause: error });
        return { kind: 'lost', outcome: lostThread(error, options.timeoutMs) };
      } finally {
        slots.give();
      }
    },
    async close() {
      closed = true;
      slots.giveAll();
      await pool.destroy();
    },
  };
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

/** Counts free threads and lets callers wait in order. */
function createSlots(count: number) {
  const waiting: (() => void)[] = [];
  let free = count;
  return {
    take(): Promise<void> | void {
      if (free > 0) free--;
      else return new Promise((resolve) => waiting.push(resolve));
    },
    give(): void {
      const next = waiting.shift();
      if (next) next();
      else free++;
    },
    giveAll(): void {
      for (const next of waiting.splice(0)) next();
    },
  };
}
