import { type EventId, type EventStatus, isOpen } from '../event/event.ts';

/** The fields of a letter's event row that a replay needs. */
type LetterEvent = { readonly eventId: EventId; readonly conversationId: string; readonly status: EventStatus };

type ReplaySteps = {
  /** FAILED → PENDING, due at once. False if it is no longer FAILED. */
  readonly reopen: (conversationId: string) => Promise<boolean>;
  /** Makes an open event due at once. */
  readonly makeDue: (eventId: EventId) => Promise<void>;
  /** Puts the letter's body back on the main queue; resolves when that is confirmed. */
  readonly publish: () => Promise<void>;
};

/** The result of a replay. `closed`: there was nothing to do, the event is PROCESSED or SKIPPED. */
export type Replayed = 'reopened' | 'made due' | 'published' | 'closed';

/**
 * Replays one dead letter. When this resolves, the letter may leave its queue: its event is open or closed in the
 * database, or its message is confirmed by the broker. Like every event it counts once, because settling acts on open
 * rows only.
 *
 * The event's row runs again, not the letter: the relay publishes it. The letter itself is published only if it has no
 * row.
 */
export async function replay(event: LetterEvent | null, steps: ReplaySteps): Promise<Replayed> {
  if (event === null) {
    await steps.publish();
    return 'published';
  }
  if (event.status === 'FAILED') return (await steps.reopen(event.conversationId)) ? 'reopened' : 'closed';
  if (!isOpen(event.status)) return 'closed';
  // Dead-lettered by a bug, or reopened meanwhile: the row is open, and might otherwise wait for hours.
  await steps.makeDue(event.eventId);
  return 'made due';
}
