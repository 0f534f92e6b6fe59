import { setTimeout as delay } from 'node:timers/promises';
import { Router } from 'express';
import type { Gauge } from '../runtime/gauge.ts';
import { sendJson } from '../runtime/http/index.ts';

/** @throws if the database does not answer, or takes no writes. */
type ProbeWrites = () => Promise<void>;

/** A silent broker is not waited for any longer. */
const brokerAnswerMs = 2_000;

/**
 * `/`: what this service is and where to look. `/healthz`: the process is alive. `/readyz`: it can accept, which needs
 * a database that takes writes. Without the broker it is only degraded, because accepting does not depend on it; while
 * it drains, it is not ready. `/health/detailed`: details for a person.
 */
export function healthRouter(options: {
  readonly probeWrites: ProbeWrites;
  readonly brokerReady: () => boolean;
  readonly draining: () => boolean;
  /** Messages waiting in the broker's queue; null if the broker cannot be asked. */
  readonly queueDepth: () => Promise<number | null>;
  readonly gauges: readonly Gauge[];
  readonly version: string;
}): Router {
  const router = Router();
  router.get('/', (_request, response) => {
    const links = {
      accept: '/v1/conversations/end',
      conversations: '/v1/conversations',
      health: '/health/detailed',
      ready: '/readyz',
    };
    sendJson(response, 200, { name: 'afterword', version: options.version, links });
  });
  router.get('/healthz', (_request, response) => {
    sendJson(response, 200, { status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    const { status, database, broker } = await look();
    const serves = status === 'ready' || status === 'degraded';
    sendJson(response, serves ? 200 : 503, { status, database, broker });
  });
  router.get('/health/detailed', async (_request, response) => {
    const { rss, heapUsed } = process.memoryUsage();
    sendJson(response, 200, {
      ...(await look()),
      version: options.version,
      node: process.version,
      uptime_seconds: Math.round(process.uptime()),
      memory: { rss_bytes: rss, heap_used_bytes: heapUsed },
      messages_waiting: await Promise.race([
        options.queueDepth().catch(() => null),
        delay(brokerAnswerMs, null, { ref: false }),
      ]),
      queues: options.gauges.map(({ name, bound, held }) => ({ name, held: held(), bound })),
    });
  });
  return router;

  async function look() {
    const database = await options.probeWrites().then(
      () => 'up' as const,
      () => 'down' as const,
    );
    const broker = options.brokerReady() ? 'up' : 'down';
    const status = options.draining()
      ? 'draining'
      : database === 'down'
        ? 'unavailable'
        : broker === 'down'
          ? 'degraded'
          : 'ready';
    return { status, database, broker };
  }
}
