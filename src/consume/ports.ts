import type { EventId, EventRef } from '../event/event.ts';
import type { LoadedEvent } from '../event/outcome.ts';

/** A delivery without the answers to the broker. */
export type Received = {
  readonly body: Buffer;
  readonly messageId: string | undefined;
  readonly redelivered: boolean;
  /** False once its channel is gone: not worth starting, another worker gets it. */
  readonly live: boolean;
};

/**
 * One delivery. Its tag is valid only on the channel that delivered it: once that channel is gone the three answers do
 * nothing, the broker delivers again, and the closed row makes that a duplicate. Answer exactly once.
 */
export type Delivery = Received & {
  /** Of the message. */
  readonly headers: Readonly<Record<string, unknown>>;
  ack(): void;
  /** nack, requeue=false: to the dead-letter exchange. */
  deadLetter(): void;
  /** nack, requeue=true. */
  requeue(): void;
};

/** Reads events, in the order of `refs`; null for those that do not exist. */
export type LoadEvents = (refs: readonly EventRef[]) => Promise<readonly (LoadedEvent | null)[]>;

/** Shows running attempts in their rows: PROCESSING, as of this moment. */
export type MarkProcessing = (
  attempts: readonly { readonly eventId: EventId; readonly runningMs: number }[],
) => Promise<void>;

/** Counts a start of a redelivered event in its row, or takes it back. */
export type StartSteps = {
  readonly countStart: (eventId: EventId) => Promise<void>;
  readonly uncountStart: (eventId: EventId) => Promise<void>;
};
