/** The process was told to stop while it was still starting. Not a failure. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** A start that failed. The message is for a person. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** True if the same start may succeed later, for example when a server is down. */
  readonly mayPass: boolean;

  constructor(message: string, options: { cause?: unknown; mayPass?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.mayPass = options.mayPass ?? false;
  }
}
