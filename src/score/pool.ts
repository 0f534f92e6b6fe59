import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ConversationText } from '../event/conversation.ts';
import { PipelineError } from '../event/fault.ts';
import type { Outcome } from '../event/outcome.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import type { Logger } from '../runtime/log.ts';
import { startHandOver } from './hand-over.ts';
import type { Scored } from './loaded-thread.ts';
import type { ScoreWeights } from './scorer.ts';
import { startThread } from './thread.ts';
import { wearOf } from './wear.ts';

export type ScorePool = {
  /** What the scorer declares as `waits`; null if it declares nothing. */
  readonly waits: boolean | null;
  /**
   * Scores a conversation. Waits for a thread; the scoring deadline counts from when the thread begins it. Rejects only
   * when `close` is called.
   */
  score(text: ConversationText): Promise<Outcome>;
  /** Number of conversations that are waiting for a thread. */
  readonly waiting: number;
  /** Threads that are scoring. */
  readonly busyThreads: number;
  /** Bytes of each thread's heap that are in use. */
  heapBytes(): readonly number[];
  /** Samples the CPU time of the thread that holds most. @returns the text of a `.cpuprofile`. */
  profileThread(ms: number, stop: AbortSignal): Promise<string>;
  /** Replaces the threads, to give back the memory that they have gathered. What they hold is finished. */
  renew(): void;
  /** Rejects what is waiting or running (transient, `POOL_CLOSED`), aborts it in the threads, and ends them. */
  close(): Promise<void>;
};

export type ScorePoolOptions = {
  readonly threads: number;
  readonly threadMemoryMb: number;
  /** A thread is replaced after this many conversations; 0: never. */
  readonly threadMaxTasks: number;
  readonly timeoutMs: number;
  readonly weights: ScoreWeights;
  /** Path of a module, as in `SCORER_MODULE`; null for the friendship scorer. */
  readonly scorerModule: string | null;
  /** Cancels the start of the threads. */
  readonly stop: AbortSignal;
  readonly log: Logger;
};

/**
 * Share of a thread's heap that the texts it holds may take. Once parsed, and with the scorer's own data, they take
 * several times as much.
 */
const bodiesOfHeap = 1 / 16;

const beside = (name: string) => new URL(`./${name}${extname(import.meta.filename)}`, import.meta.url);

/**
 * Starts the scoring threads.
 * @throws if the scorer module cannot be loaded in a thread: a fleet that cannot score should not start.
 */
export async function startScorePool(options: ScorePoolOptions): Promise<ScorePool> {
  const scorerUrl = options.scorerModule
    ? pathToFileURL(resolve(options.scorerModule)).href
    : beside('friendship/scorer').href;
  const { weights, timeoutMs, threadMemoryMb: memoryMb, log } = options;
  const wear = wearOf(options.threadMaxTasks, memoryMb);
  const handOver = await startHandOver({
    threads: options.threads,
    maxThreadBytes: memoryMb * 1_024 * 1_024 * bodiesOfHeap,
    startThread: (events, stop) =>
      startThread(
        { entry: beside('thread-entry'), scorerUrl, weights, timeoutMs, memoryMb, heapAlarmBytes: wear.maxHeapBytes },
        events,
        stop,
      ),
    wear,
    stop: options.stop,
    log,
  }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError(
      'permanent',
      'SCORER_MODULE',
      `the scorer ${options.scorerModule ?? ''} cannot be used: ${reason}`,
      { cause, exitCode: exitCodes.config },
    );
  });

  let closing: Promise<void> | null = null;
  return {
    waits: handOver.waits,
    score: async (text) => toOutcome(await handOver.submit(text), timeoutMs),
    get waiting() {
      return handOver.waiting;
    },
    get busyThreads() {
      return handOver.busyThreads;
    },
    heapBytes: () => handOver.heapBytes(),
    profileThread: (ms, stop) => handOver.profile(ms, stop),
    renew: () => handOver.renew(),
    close() {
      closing ??= handOver.close(new PipelineError('transient', 'POOL_CLOSED', 'the scoring threads have ended'));
      return closing;
    },
  };
}

function toOutcome(scored: Scored, timeoutMs: number): Outcome {
  if (scored.kind !== 'lost') return scored;
  const [code, details] = scored.hung
    ? ['SCORING_TIMEOUT', `scoring held its thread for over ${timeoutMs} ms; the thread was ended`]
    : ['SCORING_THREAD_DIED', `the scoring thread ended${scored.code === null ? '' : ` (${scored.code})`}`];
  return { kind: 'failed', permanent: false, code, details };
}
