export { createReadiness } from './readiness.ts';
export { apiReady, detailRoutes, plainReady, probeRoutes } from './routes.ts';
