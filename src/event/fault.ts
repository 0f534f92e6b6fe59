/** What a failure calls for: waiting and retrying, a corrected input, or a fix in the code. */
type FaultKind = 'transient' | 'permanent' | 'bug';

/** The project's own error class. Adapters, which know the cause, choose the kind; other code acts on it. */
export class PipelineError extends Error {
  override readonly name = 'PipelineError';
  readonly kind: FaultKind;
  /** Stable, upper-case, for logs and problem documents. */
  readonly code: string;
  /** Of a process that ends with this error. */
  readonly exitCode: number;

  constructor(
    kind: FaultKind,
    code: string,
    message: string,
    options: { readonly cause?: unknown; readonly exitCode?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
    this.kind = kind;
    this.code = code;
  }
}

/** An error that is not classified counts as a bug. */
export function faultOf(error: unknown): FaultKind {
  return error instanceof PipelineError ? error.kind : 'bug';
}

/** The code of an error of ours; `UNKNOWN` for any other. */
export function codeOf(error: unknown): string {
  return error instanceof PipelineError ? error.code : 'UNKNOWN';
}
