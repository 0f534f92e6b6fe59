import { Router } from 'express';

/** @throws if the database does not answer. */
export type PingDatabase = () => Promise<void>;

/**
 * `/healthz`: the process lives. `/readyz`: it can accept, which needs the database; a broker that is away only degrades
 * it, for accepting does not depend on it. While the process drains it is not ready.
 */
export function healthRouter(options: {
  readonly pingDatabase: PingDatabase;
  readonly brokerReady: () => boolean;
  readonly draining: () => boolean;
}): Router {
  const router = Router();
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    const database = await options.pingDatabase().then(
      () => 'up' as const,
      () => 'down' as const,
    );
    const broker = options.brokerReady() ? 'up' : 'down';
    const status = options.draining() ? 'draining' : database === 'down' ? 'unavailable' : broker === 'down' ? 'degraded' : 'ready';
    const serves = status === 'ready' || status === 'degraded';
    response.status(serves ? 200 : 503).json({ status, database, broker });
  });
  return router;
}
