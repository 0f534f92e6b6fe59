/** When a batch that could start waits for more items first. */
export type LingerPolicy<T> = {
  /** Items that will need committing soon, including those submitted already; 0 if a batch should not wait for them. */
  readonly expected: () => number;
  /** The longest that a batch may wait, given its oldest item. Milliseconds. */
  readonly maxMs: (first: T) => number;
};

/** `waiting`: lingers until `timer` fires; `over`: has lingered long enough, and starts as soon as it may. */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'over' };

const idle: State = { kind: 'idle' };

/** @param onOver  called when a batch has lingered for its maximum time. */
export function createLinger<T>(policy: LingerPolicy<T>, onOver: () => void) {
  let state: State = idle;
  return {
    /**
     * Whether the next batch should wait: while more items are still to come than have gathered, for at most `maxMs`
     * from the first call.
     *
     * @param committing  items that are being committed; they are part of `expected`, but not of this batch.
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
    /** Call when a batch starts; the next one gets the full linger time again. */
    reset(): void {
      if (state.kind === 'waiting') clearTimeout(state.timer);
      state = idle;
    },
  };
}
