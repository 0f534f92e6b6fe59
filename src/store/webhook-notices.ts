import type { NoticeType } from '../event/notice.ts';
import { type Statement, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';

/** Whether an endpoint matches an event `e`. */
const isWanted = `(w.bound_to IS NULL OR e.user_id = w.bound_to OR (w.bound_to LIKE '%*' AND
  LEFT(e.user_id, CHAR_LENGTH(w.bound_to) - 1) = LEFT(w.bound_to, CHAR_LENGTH(w.bound_to) - 1)))`;

/**
 * Writes one delivery for each of these events and each endpoint that wants to know: part of the transaction that
 * closes them, so that there is exactly one, or none if it is rolled back.
 * @param detail  JSON of what the event's row does not say; null: nothing.
 */
export function noteFor(type: NoticeType, eventIds: readonly string[], detail: string | null = null): Statement {
  return [
    `INSERT INTO webhook_deliveries (endpoint_id, event_id, type, detail, state, next_attempt_at, created_at)
     SELECT w.endpoint_id, e.event_id, ?, ?, 'PENDING', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
     FROM conversation_events e FORCE INDEX (PRIMARY) CROSS JOIN webhook_endpoints w
     WHERE e.event_id IN (?) AND w.state = 'enabled' AND FIND_IN_SET(?, w.types) > 0 AND ${isWanted}`,
    [type, detail, eventIds, type],
  ];
}

/** Whether anybody wants to know of anything. */
export function hasEndpoints(store: Store, deadlineMs: number): Promise<boolean> {
  return withConnection(store, deadlineMs, async (connection) => {
    const rows = await connection.query<unknown[]>("SELECT 1 FROM webhook_endpoints WHERE state = 'enabled' LIMIT 1");
    return rows.length > 0;
  });
}
