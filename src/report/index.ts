export { maxExports } from './export.ts';
export { createFeed } from './feed.ts';
export { reportOperations } from './operations.ts';
export type { EventView } from './ports.ts';
export { createReads } from './reads.ts';
export { reportRouter } from './router.ts';
export { maxStreams } from './stream.ts';
export { presentEvent } from './views.ts';
export { createClosedWatch } from './watch-closed.ts';
