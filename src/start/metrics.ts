import type { Config } from '../config.ts';
// Not from the folder's index: a process without metrics need not load what counts them.
import type { Metrics } from '../metrics/index.ts';
import { serveMetrics } from '../metrics/server.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';

/**
 * Serves metrics and probes on `METRICS_PORT`; does nothing if that is 0.
 * @throws {StartError} if the port cannot be had.
 */
export async function openMetricsPort(
  config: Config,
  metrics: Pick<Metrics, 'render' | 'contentType'>,
  ready: () => boolean,
  log: Logger,
): Promise<void> {
  const { metricsHost: host, metricsPort: port } = config;
  if (port === 0) return;
  await serveMetrics({ host, port }, metrics, { ready }).catch((cause: NodeJS.ErrnoException) => {
    throw new StartError(`METRICS_PORT ${host}:${port} cannot be used (${cause.code}): choose another, or 0 for none`, {
      cause,
      mayPass: true, // of a fleet before this one that still drains
    });
  });
  log.info({ host, port }, 'serving metrics');
}
