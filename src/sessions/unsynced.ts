import type { Gauge } from '../runtime/gauge.ts';
import type { Message, SessionHead } from './ports.ts';

/** A quarter of a million short messages; above it, the oldest are known to Redis alone. */
const maxBytes = 64 * 1_024 * 1_024;
/** A message with its id, besides its text. */
const overheadBytes = 200;

type Entry = { readonly messages: Map<string, Message>; head: SessionHead | null; since: number; bytes: number };

export type Unsynced = {
  /** A session that the database does not have. */
  begin(head: SessionHead): void;
  headOf(sessionId: string): SessionHead | null;
  add(sessionId: string, messages: readonly Message[]): void;
  /** What this process has acknowledged in this session, by position. */
  of(sessionId: string): readonly Message[];
  remove(sessionId: string, messageIds: readonly string[]): void;
  drop(sessionId: string): void;
  /** In the order in which they were last added to; only those that were not for `ms`. */
  sessions(ms?: number): readonly string[];
  readonly gauge: Gauge;
};

/**
 * What this process has acknowledged and nobody is known to have synced: Redis may lose it (its disk may be a second
 * behind, its replica a moment), and the database does not have it yet. With the copy, this process can write it again.
 */
export function createUnsynced(clock: () => number = () => performance.now()): Unsynced {
  /** In the order in which they were last added to. */
  const entries = new Map<string, Entry>();
  let held = 0;

  function drop(sessionId: string): void {
    held -= entries.get(sessionId)?.bytes ?? 0;
    entries.delete(sessionId);
  }

  function touch(sessionId: string): Entry {
    const entry = entries.get(sessionId) ?? { messages: new Map(), head: null, since: 0, bytes: 0 };
    entries.delete(sessionId);
    entries.set(sessionId, entry);
    entry.since = clock();
    return entry;
  }

  return {
    begin(head) {
      const entry = touch(head.sessionId);
      entry.head = head;
      entry.bytes += overheadBytes;
      held += overheadBytes;
    },
    headOf: (sessionId) => entries.get(sessionId)?.head ?? null,
    add(sessionId, messages) {
      const entry = touch(sessionId);
      for (const message of messages) {
        if (entry.messages.has(message.messageId)) continue;
        entry.messages.set(message.messageId, message);
        const bytes = costOf(message);
        entry.bytes += bytes;
        held += bytes;
      }
      for (const oldest of entries.keys()) {
        if (held <= maxBytes) break;
        drop(oldest);
      }
    },
    of: (sessionId) => [...(entries.get(sessionId)?.messages.values() ?? [])].sort((a, b) => a.position - b.position),
    remove(sessionId, messageIds) {
      const entry = entries.get(sessionId);
      if (entry === undefined) return;
      for (const id of messageIds) {
        const message = entry.messages.get(id);
        if (message === undefined) continue;
        entry.messages.delete(id);
        const bytes = costOf(message);
        entry.bytes -= bytes;
        held -= bytes;
      }
      if (entry.messages.size === 0) drop(sessionId);
    },
    drop,
    sessions(ms = 0) {
      const before = clock() - ms;
      return [...entries].filter(([, { since }]) => since <= before).map(([sessionId]) => sessionId);
    },
    gauge: { name: 'session_unsynced_bytes', bound: maxBytes, held: () => held },
  };
}

function costOf(message: Message): number {
  return overheadBytes + 2 * message.text.length;
}
