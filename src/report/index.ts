export { healthRouter } from './health.ts';
export { reportRouter } from './router.ts';
export { type EventView, presentEvent } from './views.ts';
