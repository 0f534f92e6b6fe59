export { keepable, limitsOf, type MemoryLimits, memoryOf } from './limits.ts';
export { type Relief, watchMemory } from './watch.ts';
