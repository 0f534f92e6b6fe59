export { healthRouter } from './health.ts';
export { createReads } from './reads.ts';
export { reportRouter } from './router.ts';
export { presentEvent } from './views.ts';
export { createClosedWatch } from './watch-closed.ts';
