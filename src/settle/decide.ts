import type { EventStatus } from '../event/event.ts';
import type { Outcome } from '../event/outcome.ts';
import type { UnsuccessfulWrite } from './ports.ts';

/** What becomes of one attempt, given the locked row. */
export type Decision =
  | { readonly kind: 'process'; readonly outcome: Extract<Outcome, { kind: 'scored' }> }
  | Unnamed<UnsuccessfulWrite>
  /** Already closed, or already counted: a redelivery, a replay or a second publication. */
  | { readonly kind: 'duplicate' }
  /** Closed as FAILED, and the broker delivers it again: its first dead-lettering may not have arrived. */
  | { readonly kind: 'dead-letter-again' };

type Unnamed<W> = W extends unknown ? Omit<W, 'eventId'> : never;

export function decide(
  row: { readonly status: EventStatus; readonly attemptCount: number },
  attempt: { readonly outcome: Outcome; readonly attemptCount: number; readonly redelivered: boolean },
  policy: { readonly maxAttempts: number; readonly delayMs: (attempt: number) => number },
): Decision {
  switch (row.status) {
    case 'PROCESSED':
    case 'SKIPPED':
      return { kind: 'duplicate' };
    case 'FAILED':
      return { kind: attempt.redelivered ? 'dead-letter-again' : 'duplicate' };
    case 'PENDING':
    case 'PROCESSING':
      break;
    default:
      return unreachable(row.status);
  }
  const { outcome } = attempt;
  if (outcome.kind === 'scored') return { kind: 'process', outcome };
  // Already counted: the answer to the COMMIT was lost, or another delivery of the event failed at the same time.
  if (row.attemptCount !== attempt.attemptCount) return { kind: 'duplicate' };
  const attemptCount = row.attemptCount + 1;
  const { code, details } = outcome;
  if (outcome.permanent || attemptCount >= policy.maxAttempts) return { kind: 'failed', attemptCount, code, details };
  return { kind: 'retry', attemptCount, delayMs: policy.delayMs(attemptCount), code, details };
}

function unreachable(value: never): never {
  throw new TypeError(`unhandled status ${String(value)}`);
}
