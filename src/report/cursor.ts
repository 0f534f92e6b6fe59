import { type EventId, parseEventId } from '../event/event.ts';

/** An opaque position in the list, newest first: right after this event. */
export function encodeCursor(eventId: string): string {
  return Buffer.from(eventId.replaceAll('-', ''), 'hex').toString('base64url');
}

/** @returns null if the text is not a cursor of ours. */
export function decodeCursor(text: string): EventId | null {
  const hex = Buffer.from(text, 'base64url').toString('hex');
  if (encodeCursor(hex) !== text) return null;
  return parseEventId(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));
}
