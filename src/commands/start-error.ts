/** Told to stop while still starting: no failure. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** A start that did not succeed. The message is for a person. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** True if the same start may succeed later, as when a server is away. */
  readonly mayPass: boolean;

  constructor(message: string, options: { cause?: unknown; mayPass?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.mayPass = options.mayPass ?? false;
  }
}
