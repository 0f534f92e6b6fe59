import { totalmem } from 'node:os';
import type { Config } from '../config.ts';
import { keepable, limitsOf, type MemoryLimits, memoryOf, type Relief, watchMemory } from '../memory/index.ts';
import { collectGarbage } from '../runtime/collect-garbage.ts';
import type { Logger } from '../runtime/log.ts';
import { toMib } from '../runtime/mib.ts';

const sharersName = 'AFTERWORD_MEMORY_SHARERS';

/** For the members that a fleet starts: they share the machine. */
export function memoryShare(members: number): NodeJS.ProcessEnv {
  return { [sharersName]: String(members) };
}

/** @param idleBytes  what this process uses before it has done anything. */
export function memoryLimits(config: Config, idleBytes: number, log: Logger): MemoryLimits {
  const sharers = Number(process.env[sharersName] ?? 1) || 1;
  const memory = memoryOf(totalmem(), process.constrainedMemory(), sharers);
  const { limits, dropped } = keepable(limitsOf(config.memorySoftLimit, config.memoryHardLimit, memory), idleBytes);
  for (const setting of dropped)
    log.warn(
      { setting, idleMb: toMib(idleBytes), memoryMb: toMib(memory) },
      'this worker uses more memory than this limit when it is idle; the limit is ignored: raise it, ' +
        'give the container more memory, or run fewer workers here',
    );
  return limits;
}

/** Threads hold most of what a worker gathers; the rest is this thread's garbage. */
export function startMemoryWatch(
  limits: MemoryLimits,
  log: Logger,
  { renewThreads, ...relief }: Omit<Relief, 'giveBack'> & { renewThreads(): void },
): { stop(): void } {
  return watchMemory({
    limits,
    used: () => process.memoryUsage.rss(),
    relief: {
      ...relief,
      giveBack() {
        renewThreads();
        collectGarbage();
      },
    },
    log,
  });
}
