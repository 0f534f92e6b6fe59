import { exitCodes } from './exit-codes.ts';

/** Ends the process. The message is for a person; the code tells a caller whether trying again could help. */
abstract class ExitError extends Error {
  abstract readonly exitCode: number;

  constructor(message: string, { cause }: { readonly cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** A start that failed. */
export class StartError extends ExitError {
  override readonly name = 'StartError';
  readonly exitCode: number;

  /** @param options.mayPass  the same start may succeed later, for example when a server is down. */
  constructor(message: string, options: { readonly cause?: unknown; readonly mayPass?: boolean } = {}) {
    super(message, options);
    this.exitCode = options.mayPass ? exitCodes.failed : exitCodes.config;
  }
}

/** The process was told to stop while it was still starting. Not a failure. */
export class StoppedError extends ExitError {
  override readonly name = 'StoppedError';
  readonly exitCode = exitCodes.ok;
}

/** What the caller named does not exist or cannot be used. */
export class UsageError extends ExitError {
  override readonly name = 'UsageError';
  readonly exitCode = exitCodes.usage;
}
