import type { Logger } from '../runtime/log.ts';
import { toMib } from '../runtime/mib.ts';
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
  /** `limit`: above it, memory is short. */
  | { readonly kind: 'calm'; readonly limit: number }
  /** `idleSince`: it holds nothing, and is short all the same; null while it holds something. */
  | { readonly kind: 'short'; readonly limit: number; readonly idleSince: number | null }
  | { readonly kind: 'ending' };

const lookMs = 250;
/** It is no longer short below this share of its soft limit, so that it does not pause and resume all the time. */
const calmShare = 0.95;
/** After this long with nothing in flight, threads have been replaced and garbage has been collected. */
const settledMs = 2_000;
/**
 * The room that a worker gets when its memory was freed and the allocator keeps it: that much more, and it is short.
 */
const raise = 1.05;

/**
 * Watches the memory of a worker, so that it is neither killed with what it holds nor held forever.
 *
 * `calm` → `short` above the soft limit: nothing new is taken, and memory is given back. `short` → `calm` when that has
 * helped, or has done what it can: what the allocator keeps of freed memory is used again, so the worker goes on with a
 * little more. Either → `ending` above the hard limit: it drains and ends, and its supervisor starts another.
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
  let state: State = { kind: 'calm', limit: softBytes ?? Number.POSITIVE_INFINITY };

  function look(): void {
    const bytes = used();
    if (state.kind === 'ending') return;
    if (hardBytes !== null && bytes >= hardBytes) end('MEMORY_HARD_LIMIT exceeded', bytes);
    else if (state.kind === 'short') lookAgain(state, bytes);
    else if (bytes >= state.limit) begin(bytes, state.limit);
  }

  function begin(bytes: number, limit: number): void {
    state = { kind: 'short', limit, idleSince: null };
    telemetry.memory.tell({ state: 'short' });
    log.warn(
      { usedMb: toMib(bytes), limitMb: toMib(limit) },
      'short of memory: nothing new is taken, and the scoring threads are replaced',
    );
    relief.pause();
    relief.giveBack();
  }

  function lookAgain({ limit, idleSince }: Extract<State, { kind: 'short' }>, bytes: number): void {
    if (bytes < limit * calmShare) recover(bytes, softBytes ?? limit);
    else if (!relief.isIdle()) state = { kind: 'short', limit, idleSince: null };
    else if (idleSince === null) state = { kind: 'short', limit, idleSince: now() };
    else if (now() - idleSince < settledMs) return;
    else if (hardBytes !== null && bytes * raise >= hardBytes)
      end('still close to MEMORY_HARD_LIMIT with nothing in flight', bytes);
    else recover(bytes, bytes * raise);
  }

  function recover(bytes: number, limit: number): void {
    state = { kind: 'calm', limit: Math.max(limit, softBytes ?? limit) };
    telemetry.memory.tell({ state: 'recovered' });
    log.info({ usedMb: toMib(bytes), limitMb: toMib(limit) }, 'memory was given back; taking deliveries again');
    relief.resume();
  }

  function end(reason: string, bytes: number): void {
    state = { kind: 'ending' };
    telemetry.memory.tell({ state: 'ending' });
    log.error({ usedMb: toMib(bytes), reason }, 'out of memory soon: draining, then ending to be started again');
    relief.drain(reason);
  }

  const timer = softBytes === null && hardBytes === null ? undefined : setInterval(look, lookMs);
  timer?.unref();
  return { stop: () => clearInterval(timer) };
}
