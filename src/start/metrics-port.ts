import type { Config } from '../config.ts';
import { type Route, serveRoutes } from '../runtime/http/routes.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';

/**
 * Serves metrics, probes and what else an operator asks a process for on `METRICS_PORT`; does nothing if that is 0.
 * @throws {StartError} if the port cannot be had.
 */
export async function openMetricsPort(config: Config, routes: readonly Route[], log: Logger): Promise<void> {
  const { metricsHost: host, metricsPort: port } = config;
  if (port === 0) return;
  await serveRoutes({ host, port }, routes, log).catch((cause: NodeJS.ErrnoException) => {
    throw new StartError(`METRICS_PORT ${host}:${port} cannot be used (${cause.code}): choose another, or 0 for none`, {
      cause,
      mayPass: true, // of a fleet before this one that still drains
    });
  });
  log.info({ host, port }, 'serving metrics');
}
