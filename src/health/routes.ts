import { type Route, sendJson } from '../runtime/http/routes.ts';
import { createDetails, type DetailSources } from './details.ts';
import type { DatabaseState } from './readiness.ts';

/** Whether this process should get work. */
type Ready = {
  readonly ok: boolean;
  /** `status`, and what it depends on. */
  readonly body: Readonly<Record<string, string>>;
};

/** `/healthz`: the process is alive. `/readyz`: it should get work. */
export function probeRoutes(ready: () => Promise<Ready>): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      handle: async (_request, response) => sendJson(response, 200, { status: 'ok' }),
    },
    {
      method: 'GET',
      path: '/readyz',
      async handle(_request, response) {
        const { ok, body } = await ready();
        sendJson(response, ok ? 200 : 503, body);
      },
    },
  ];
}

/** `/health/detailed`: details for a person. */
export function detailRoutes(ready: () => Promise<Ready>, sources: DetailSources): Route[] {
  const details = createDetails(sources);
  return [
    {
      method: 'GET',
      path: '/health/detailed',
      async handle(_request, response) {
        const [{ body }, about] = await Promise.all([ready(), details()]);
        sendJson(response, 200, { ...body, ...about });
      },
    },
  ];
}

/**
 * An API can accept if its database takes writes. Without the broker, or with a slow database, it is only degraded;
 * while it drains, it is not ready.
 */
export function apiReady(database: DatabaseState, isBrokerUp: boolean, isDraining: boolean): Ready {
  const broker = isBrokerUp ? 'up' : 'down';
  if (isDraining) return { ok: false, body: { status: 'draining', database, broker } };
  if (database === 'down') return { ok: false, body: { status: 'unavailable', database, broker } };
  const status = database === 'up' && isBrokerUp ? 'ready' : 'degraded';
  return { ok: true, body: { status, database, broker } };
}

/** A worker, or a whole fleet: it takes deliveries, or it does not. */
export function plainReady(ok: boolean): Ready {
  return { ok, body: { status: ok ? 'ready' : 'not ready' } };
}
