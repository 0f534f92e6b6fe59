export { createExports } from './export.ts';
export { reportOperations } from './operations.ts';
export type { EventView } from './ports.ts';
export { createReads } from './reads.ts';
export { reportRouter } from './router.ts';
export { presentEvent } from './views.ts';
export { createClosedWatch } from './watch-closed.ts';
