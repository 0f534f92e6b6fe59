import { type EventId, type EventStatus, isOpen } from '../event/event.ts';

/** The event row of a letter, as far as a replay needs it. */
export type LetterEvent = { readonly eventId: EventId; readonly conversationId: string; readonly status: EventStatus };

export type ReplaySteps = {
  /** FAILED → PENDING, due at once. False if it is not FAILED any more. */
  readonly reopen: (conversationId: string) => Promise<boolean>;
  /** Makes an open event due at once. */
  readonly makeDue: (eventId: EventId) => Promise<void>;
  /** Puts the letter's body back on the main queue; resolves when that is confirmed. */
  readonly publish: () => Promise<void>;
};

/** What a replay came to. `closed`: nothing was to be done, the event is PROCESSED or SKIPPED. */
export type Replayed = 'reopened' | 'made due' | 'published' | 'closed';

/**
 * Replays one dead letter. When this resolves the letter may leave its queue: what it stood for is committed in the
 * database or confirmed by the broker. It counts once like everything else, because settling acts on open rows only.
 *
 * The event's row and not the letter is what runs again: the relay publishes it. Only a letter without a row is
 * published itself.
 */
export async function replay(event: LetterEvent | null, steps: ReplaySteps): Promise<Replayed> {
  if (event === null) {
    await steps.publish();
    return 'published';
  }
  if (event.status === 'FAILED') return (await steps.reopen(event.conversationId)) ? 'reopened' : 'closed';
  if (!isOpen(event.status)) return 'closed';
  // Dead-lettered by a bug, or reopened meanwhile: the row is open, and may have hours to wait.
  await steps.makeDue(event.eventId);
  return 'made due';
}
