import type { Route } from '../runtime/http/routes.ts';
import type { Metrics } from './metrics.ts';

/** `GET /metrics`. */
export function metricsRoutes(metrics: Pick<Metrics, 'render' | 'contentType'>): Route[] {
  return [
    {
      method: 'GET',
      path: '/metrics',
      async handle(_request, response) {
        response.writeHead(200, { 'content-type': metrics.contentType }).end(await metrics.render());
      },
    },
  ];
}
