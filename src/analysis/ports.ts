import type { Analysis, Conversation } from '../event/conversation.ts';

/**
 * A plug-in that reads conversations elsewhere: the default export of a module named in `ANALYSER_MODULE`. It runs on
 * the event loop of the worker, so it must wait for whatever it needs, and never compute for long. What it does not say
 * the scorer finds itself. `signal` aborts at `ANALYSER_TIMEOUT_MS`, and never if it `boundsItself`. It may be asked
 * again for the same conversation.
 */
export type Analyser = {
  readonly name: string;
  readonly version: string;
  /** Where conversations go, for the log at the start; not set: they stay on this machine. */
  readonly sendsTo?: string;
  /** It ends its calls in time by itself, counted from when they are sent; not set: it is given up after the limit. */
  readonly boundsItself?: boolean;
  /** It keeps what it is told: it is left out of dry runs. */
  readonly remembers?: boolean;
  /**
   * Throwing makes `ANALYSER_WHEN_AWAY` decide what happens; an error with `permanent: true`, that it does not take
   * this conversation: the scorer then reads it alone.
   */
  analyse(conversation: Conversation, context: { readonly signal: AbortSignal }): Promise<Analysis>;
  /** Ends connections. */
  close?(): Promise<void>;
};

/** Analysers are away, and the attempt should be made again. */
export class NoAnalysis extends Error {
  override readonly name = 'NoAnalysis';
}
