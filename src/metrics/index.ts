export { type Metrics, startMetrics } from './metrics.ts';
export type { Sources } from './process-metrics.ts';
