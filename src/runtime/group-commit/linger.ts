/** When a batch that could start waits for company first. */
export type LingerPolicy<T> = {
  /** Items that will need committing soon, including those submitted already; 0 if a batch should not wait for them. */
  readonly expected: () => number;
  /** Longest wait of a batch, by the item that has waited longest. Milliseconds. */
  readonly maxMs: (first: T) => number;
};

/** `waiting`: lingers until `timer`; `over`: has lingered long enough, and the next chance to start is taken. */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'over' };

const idle: State = { kind: 'idle' };

/** @param onOver  called when a batch has lingered for its time. */
export function createLinger<T>(policy: LingerPolicy<T>, onOver: () => void) {
  let state: State = idle;
  return {
    /**
     * Whether the next batch should wait: while more items are still to come than have gathered, at most `maxMs` from
     * the first time it was asked to.
     *
     * @param committing  items whose commit is under way: expected, but not for this batch.
     */
    shouldWait(first: T, gathered: number, committing: number): boolean {
      if (state.kind === 'over' || policy.expected() - committing - gathered <= gathered) return false;
      if (state.kind === 'idle') {
        const timer = setTimeout(() => {
          state = { kind: 'over' };
          onOver();
        }, policy.maxMs(first));
        state = { kind: 'waiting', timer };
      }
      return true;
    },
    /** A batch starts: the next one lingers from the beginning. */
    reset(): void {
      if (state.kind === 'waiting') clearTimeout(state.timer);
      state = idle;
    },
  };
}
