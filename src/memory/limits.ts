import type { MemorySetting } from '../settings.ts';

/** Bytes; null: no limit. */
export type MemoryLimits = { readonly softBytes: number | null; readonly hardBytes: number | null };

/** On a machine that many share, no process is held below this: a busy worker with two threads needs half of it. */
const leastShareBytes = 512 * 1_024 * 1_024;

/**
 * Memory that one process may use.
 *
 * @param constrainedBytes  of its container, as Node reports it: 0, or more than the machine has, if it has none.
 * @param sharers  processes of a fleet that share a machine. The limit of a container is not divided: in one with
 *   several processes, each could be the one that grows.
 */
export function memoryOf(machineBytes: number, constrainedBytes: number, sharers: number): number {
  if (constrainedBytes > 0 && constrainedBytes < machineBytes) return constrainedBytes;
  return Math.min(machineBytes, Math.max(leastShareBytes, machineBytes / sharers));
}

export function limitsOf(soft: MemorySetting, hard: MemorySetting, memoryBytes: number): MemoryLimits {
  return { softBytes: bytesOf(soft, memoryBytes), hardBytes: bytesOf(hard, memoryBytes) };
}

function bytesOf(setting: MemorySetting, memoryBytes: number): number | null {
  if (setting === null) return null;
  return Math.floor('bytes' in setting ? setting.bytes : setting.share * memoryBytes);
}

/** Room that a limit must leave above what the process needs to do nothing: a busy one needs half as much again. */
const leastRoom = 1.5;

/**
 * Limits that can be kept: one that a healthy worker exceeds would stop it again and again.
 * @returns the limits that can be kept, and in `dropped` the names of those that cannot.
 */
export function keepable(
  { softBytes, hardBytes }: MemoryLimits,
  idleBytes: number,
): { readonly limits: MemoryLimits; readonly dropped: readonly string[] } {
  const fits = (limit: number | null) => limit === null || limit >= idleBytes * leastRoom;
  const dropped = [
    ...(fits(softBytes) ? [] : ['MEMORY_SOFT_LIMIT']),
    ...(fits(hardBytes) ? [] : ['MEMORY_HARD_LIMIT']),
  ];
  return {
    limits: { softBytes: fits(softBytes) ? softBytes : null, hardBytes: fits(hardBytes) ? hardBytes : null },
    dropped,
  };
}
