import type { EventId } from '../event/event.ts';
import { withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/**
 * Marks attempts that have run for a while as PROCESSING, and refreshes `updated_at` from time to time while they run,
 * so that they are not taken for lost. Leaves events that have been closed meanwhile untouched.
 */
export async function markProcessing(
  store: Store,
  attempts: readonly { readonly eventId: EventId; readonly runningMs: number }[],
  options: { readonly worker: string; readonly deadlineMs: number },
): Promise<void> {
  const started = attempts.map(() => 'WHEN ? THEN UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND').join(' ');
  await withConnection(store, options.deadlineMs, (connection) =>
    connection.query(
      `UPDATE conversation_events FORCE INDEX (PRIMARY)
       SET status = 'PROCESSING', worker = ?, updated_at = UTC_TIMESTAMP(3),
         attempt_started_at = CASE event_id ${started} END
       WHERE event_id IN (?) AND status IN ('PENDING', 'PROCESSING')`,
      [
        options.worker,
        ...attempts.flatMap((a) => [a.eventId, Math.round(a.runningMs * 1_000)]),
        attempts.map((a) => a.eventId).sort(),
      ],
    ),
  );
}

/**
 * Counts the start of a redelivered event before it runs, so that if it kills this process, the next one knows.
 * Settling resets the count to 0.
 */
export async function countStart(store: Store, eventId: EventId, deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(
      'UPDATE conversation_events SET suspect_starts = suspect_starts + 1 WHERE event_id = ? ' +
        "AND status IN ('PENDING', 'PROCESSING')",
      [eventId],
    ),
  );
}

/** Takes back a counted start whose event returns to the queue unfinished without having done any harm. */
export async function uncountStart(store: Store, eventId: EventId, deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) =>
    connection.query(
      'UPDATE conversation_events SET suspect_starts = suspect_starts - 1 WHERE event_id = ? AND suspect_starts > 0',
      [eventId],
    ),
  );
}
