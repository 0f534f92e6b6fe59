import type { Logger } from '../runtime/log.ts';
import { telemetry } from '../runtime/telemetry.ts';
import type { MemoryLimits } from './limits.ts';

/** What a worker does about its memory. */
export type Relief = {
  /** Takes nothing new. */
  pause(): void;
  resume(): void;
  /** Gives back what can be given back while work goes on. */
  giveBack(): void;
  /** Finishes what it holds and ends. */
  drain(reason: string): void;
  /** It holds nothing. */
  isIdle(): boolean;
};

type State =
  | { readonly kind: 'calm' }
  /** `idleSince`: it holds nothing, and is short all the same; null while it holds something. */
  | { readonly kind: 'short'; readonly idleSince: number | null }
  | { readonly kind: 'ending' };

const lookMs = 250;
/** It is no longer short below this share of its soft limit, so that it does not pause and resume all the time. */
const calmShare = 0.95;
/** Threads have been replaced by then, and garbage collected. What is still there does not go away. */
const hopelessMs = 30_000;
const mib = (bytes: number) => Math.round(bytes / 1_024 / 1_024);

/**
 * Watches the memory of a worker, so that it is neither killed with what it holds nor held forever.
 *
 * `calm` → `short` above the soft limit: nothing new is taken, and memory is given back. `short` → `calm` when that has
 * helped. Either → `ending` above the hard limit, or if a worker that holds nothing stays short: it drains and ends,
 * and its supervisor starts another.
 */
export function watchMemory(options: {
  readonly limits: MemoryLimits;
  /** Bytes. */
  readonly used: () => number;
  readonly relief: Relief;
  readonly log: Logger;
  readonly now?: () => number;
}): { stop(): void } {
  const { relief, log, used } = options;
  const { softBytes, hardBytes } = options.limits;
  const now = options.now ?? (() => performance.now());
  let state: State = { kind: 'calm' };

  function look(): void {
    const bytes = used();
    if (state.kind === 'ending') return;
    if (hardBytes !== null && bytes >= hardBytes) end('MEMORY_HARD_LIMIT exceeded', bytes);
    else if (softBytes === null) return;
    else if (state.kind === 'short') lookAgain(state, bytes, softBytes);
    else if (bytes >= softBytes) begin(bytes, softBytes);
  }

  function begin(bytes: number, limit: number): void {
    state = { kind: 'short', idleSince: null };
    telemetry.memory.tell({ state: 'short' });
    log.warn(
      { usedMb: mib(bytes), softLimitMb: mib(limit) },
      'short of memory: nothing new is taken, and the scoring threads are replaced',
    );
    relief.pause();
    relief.giveBack();
  }

  function lookAgain({ idleSince }: Extract<State, { kind: 'short' }>, bytes: number, limit: number): void {
    if (bytes < limit * calmShare) {
      state = { kind: 'calm' };
      telemetry.memory.tell({ state: 'calm' });
      log.info({ usedMb: mib(bytes) }, 'no longer short of memory; taking deliveries again');
      relief.resume();
    } else if (!relief.isIdle()) state = { kind: 'short', idleSince: null };
    else if (idleSince === null) state = { kind: 'short', idleSince: now() };
    else if (now() - idleSince >= hopelessMs) end('short of memory although it holds nothing', bytes);
  }

  function end(reason: string, bytes: number): void {
    state = { kind: 'ending' };
    telemetry.memory.tell({ state: 'ending' });
    log.error({ usedMb: mib(bytes), reason }, 'too much memory: this worker drains and ends, to be started again');
    relief.drain(reason);
  }

  const timer = softBytes === null && hardBytes === null ? undefined : setInterval(look, lookMs);
  timer?.unref();
  return { stop: () => clearInterval(timer) };
}
