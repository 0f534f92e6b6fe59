export { healthRouter } from './health.ts';
export { reportRouter } from './router.ts';
