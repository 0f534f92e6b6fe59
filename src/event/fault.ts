/** Who should act on a failure: wait and repeat, a person who mends the input, or a developer. */
export type FaultKind = 'transient' | 'permanent' | 'bug';

/** The project's one error class. Classified where the knowledge is (adapters), decided on elsewhere. */
export class PipelineError extends Error {
  override readonly name = 'PipelineError';
  readonly kind: FaultKind;
  /** Stable, upper-case, for logs and problem documents. */
  readonly code: string;

  constructor(kind: FaultKind, code: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = code;
  }
}

/** An error nobody classified is a bug until somebody does. */
export function faultOf(error: unknown): FaultKind {
  return error instanceof PipelineError ? error.kind : 'bug';
}
