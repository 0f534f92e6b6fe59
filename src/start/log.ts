import { type Config, maskedConfig } from '../config.ts';
import { createLogger, type Logger } from '../runtime/log.ts';

export function processLogger(config: Config, role: string): Logger {
  return createLogger({
    role: process.env['AFTERWORD_ROLE'] ?? role,
    level: config.logLevel,
    format: config.logFormat,
  });
}

/**
 * Logs the effective configuration, passwords masked, and which of it is set in the environment and which by a profile;
 * the rest are defaults. At `debug` if one of our processes started this one.
 */
export function logStart(config: Config, log: Logger): void {
  const { origins, ...effective } = maskedConfig(config);
  log[process.env['AFTERWORD_ROLE'] ? 'debug' : 'info'](
    { config: effective, from: origins, node: process.version },
    'starting',
  );
}
