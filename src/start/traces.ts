import type { Config } from '../config.ts';
import type { Logger } from '../runtime/log.ts';
// Not from the folder's index: a process without traces loads nothing of OpenTelemetry.
import { readTraceSettings } from '../traces/settings.ts';
import { version } from '../version.ts';

/** Starts traces if the environment asks for them (`OTEL_*`). Before anything that it should see. */
export async function openTraces(
  config: Config,
  role: 'api' | 'worker',
  log: Logger,
): Promise<{ close(): Promise<void> }> {
  const { settings, problems } = readTraceSettings(process.env);
  for (const problem of problems) log.warn(problem);
  if (settings === null) return { close: async () => {} };
  const { startTraces } = await import('../traces/index.ts');
  const name = process.env['AFTERWORD_ROLE'] ?? role;
  const traces = startTraces({ settings, name, version, queueName: config.queueName, log });
  log.info('sending traces');
  return traces;
}
