import { Router } from 'express';
import type { Metrics } from './metrics.ts';

/** `GET /metrics` of the API. */
export function metricsRouter(metrics: Metrics): Router {
  const router = Router();
  router.get('/metrics', async (_request, response) => {
    response.setHeader('Content-Type', metrics.contentType);
    response.end(await metrics.render());
  });
  return router;
}
