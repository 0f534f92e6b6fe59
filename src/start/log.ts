import { type Config, maskedConfig } from '../config.ts';
import { createLogger, type Logger } from '../runtime/log.ts';

export function processLogger(config: Config, role: string): Logger {
  return createLogger({
    role: process.env['AFTERWORD_ROLE'] ?? role,
    level: config.logLevel,
    format: config.logFormat,
  });
}

/** Logs the effective configuration, passwords masked; at `debug` if one of our processes started this one. */
export function logStart(config: Config, log: Logger): void {
  log[process.env['AFTERWORD_ROLE'] ? 'debug' : 'info'](
    { config: maskedConfig(config), node: process.version },
    'starting',
  );
}
