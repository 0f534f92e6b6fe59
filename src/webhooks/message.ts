import type { ClaimedDelivery } from './ports.ts';

/** The same for every attempt, so that receivers can tell a repeat. */
export function messageId(deliveryId: number): string {
  return `msg_${deliveryId}`;
}

/** The body of a message: what has happened, when, and to what. */
export function bodyOf({ type, createdAt, event, detail }: ClaimedDelivery): string {
  const data =
    detail === null
      ? event
      : {
          user_id: event?.['user_id'],
          ...detail,
          conversation_id: event?.['conversation_id'],
          event_id: event?.['event_id'],
        };
  return JSON.stringify({ type, timestamp: createdAt.toISOString(), data });
}
