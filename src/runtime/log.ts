import { AsyncLocalStorage } from 'node:async_hooks';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { lastErrors } from './last-errors.ts';

export type { Logger } from 'pino';

/** Ids that every log line of one request or event carries. For correlation only: no code depends on them. */
type Correlation = { readonly request_id?: string; readonly event_id?: string };

const correlation = new AsyncLocalStorage<Correlation>({ name: 'correlation' });

/** Runs `work` so that its log lines carry `ids`. */
export function withCorrelation<T>(ids: Correlation, work: () => T): T {
  return correlation.run(ids, work);
}

let further: () => object = () => ({});

/** From now on, log lines also carry what `fields` returns where they are written. */
export function correlateAlso(fields: () => object): void {
  further = fields;
}

/**
 * The process's logger: JSON lines on stdout, readable lines in a terminal.
 *
 * Logs contain no conversation text (one of the README's promises): fields are ids, counts, codes and timings. Foreign
 * errors may quote the data that they failed on (a driver quotes SQL, JSON.parse quotes text), so only their type, code
 * and stack locations are logged.
 */
export function createLogger(options: {
  readonly role: string;
  readonly level: string;
  readonly format: 'json' | 'pretty';
}): Logger {
  const settings: LoggerOptions = {
    level: options.level,
    base: { role: options.role, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    mixin: () => ({ ...correlation.getStore(), ...further() }),
    serializers: { err: describeError },
    hooks: {
      logMethod(args, method, level) {
        if (level >= warnLevel) noteError(args);
        method.apply(this, args);
      },
    },
    ...(options.format === 'pretty' && {
      transport: {
        target: 'pino-pretty',
        options: {
          ignore: 'pid,hostname,role',
          translateTime: 'SYS:HH:MM:ss.l',
          singleLine: true,
          messageFormat: `{role}: {msg}`,
        },
      },
    }),
  };
  return options.format === 'pretty' ? pino(settings) : pino(settings, stdout());
}

const warnLevel = 40;

function noteError([fields, said]: readonly unknown[]): void {
  if (typeof fields !== 'object' || fields === null) return;
  const { err, code } = fields as { readonly err?: unknown; readonly code?: unknown };
  if (err !== undefined) lastErrors.note(err, String(said));
  // Of an attempt: what failed in a thread or a scorer has a code only.
  else if (typeof code === 'string') lastErrors.note({ code }, String(said));
}

/** What cannot be written any more when the process ends (its reader is gone) must not make its end a failure. */
function stdout(): DestinationStream {
  const destination = pino.destination(1);
  const flushSync = destination.flushSync.bind(destination);
  destination.flushSync = () => {
    try {
      flushSync();
    } catch {}
  };
  return destination;
}

type ErrorLike = {
  name?: unknown;
  message?: unknown;
  code?: unknown;
  errno?: unknown;
  stack?: unknown;
  cause?: unknown;
  exitCode?: unknown;
};

/** The loggable part of an error. Our own messages are safe by rule; foreign errors keep only name, code and stack. */
export function describeError(error: unknown): Record<string, unknown> {
  if (typeof error !== 'object' || error === null) return { type: typeof error };
  const e = error as ErrorLike;
  const ours = typeof e.exitCode === 'number' || isSystemError(e);
  return {
    type: String(e.name ?? 'Error'),
    ...(ours && { message: String(e.message) }),
    ...(e.code !== undefined && { code: e.code }),
    ...(e.errno !== undefined && { errno: e.errno }),
    ...(typeof e.stack === 'string' && { at: places(e.stack) }),
    ...(e.cause !== undefined && { cause: describeError(e.cause) }),
  };
}

/** ECONNREFUSED and the like, whose messages contain addresses and system calls but no data. */
function isSystemError(e: ErrorLike): boolean {
  return typeof e.code === 'string' && /^E[A-Z]+$/.test(e.code);
}

function places(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 4)
    .map((line) => line.slice(7))
    .join(' < ');
}
