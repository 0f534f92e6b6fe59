import type { MemorySetting } from '../settings.ts';

/** Bytes; null: no limit. */
export type MemoryLimits = { readonly softBytes: number | null; readonly hardBytes: number | null };

/** On a machine that many share, no process is held below this: an idle worker needs a third of it. */
const leastShareBytes = 256 * 1_024 * 1_024;

/**
 * Memory that one process may use.
 *
 * @param constrainedBytes  of its container, as Node reports it: 0 or more than there is if there is no such limit.
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

/** Room that a limit must leave above what the process needs to do nothing. */
const leastRoom = 1.1;

/**
 * Limits that can be kept: one that the process exceeds while it is idle would stop it for good.
 * @returns the others' names in `dropped`.
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
