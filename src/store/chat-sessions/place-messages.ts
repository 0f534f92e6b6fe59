import type { Message } from '../../sessions/ports.ts';

/** A message that wants to be stored. Null: it has no position yet. */
export type Wanted = Omit<Message, 'position'> & { readonly position: number | null };

/**
 * Gives messages their places in a session. Positions that callers were told are kept; one that another message has
 * meanwhile, because both were taken while Redis and the database did not know of each other, becomes the next free
 * one.
 *
 * @param stored  positions of the messages that are there, by id; at least of those wanted.
 * @param taken  positions that are in use, at least of those wanted.
 * @returns what is new, by position, and what had to move.
 */
export function placeMessages(
  wanted: readonly Wanted[],
  session: {
    readonly lastPosition: number;
    readonly stored: ReadonlyMap<string, number>;
    readonly taken: ReadonlySet<number>;
  },
): { readonly fresh: readonly Message[]; readonly moved: readonly string[]; readonly lastPosition: number } {
  const taken = new Set(session.taken);
  const fresh: Message[] = [];
  const moved: string[] = [];
  let lastPosition = session.lastPosition;
  for (const message of wanted) {
    const there = session.stored.get(message.messageId);
    if (there !== undefined) {
      if (message.position !== null && message.position !== there) moved.push(message.messageId);
      continue;
    }
    let { position } = message;
    if (position === null || taken.has(position)) {
      if (position !== null) moved.push(message.messageId);
      position = lastPosition + 1;
      while (taken.has(position)) position++;
    }
    taken.add(position);
    lastPosition = Math.max(lastPosition, position);
    fresh.push({ ...message, position });
  }
  return { fresh, moved, lastPosition };
}
