import type { Message, NewMessage, SessionLimits, Taken } from '../../sessions/ports.ts';
import type { Connection } from '../connection.ts';
import { placeMessages, type Wanted } from './place-messages.ts';
import {
  countQuestions,
  findPositions,
  findTakenPositions,
  insertMessages,
  lockSession,
  positionsOf,
  updateSession,
  withMessages,
} from './statements.ts';

/** Takes messages while Redis is away, with those that this process has taken and Redis may have lost. */
export async function takeMessages(
  connection: Connection,
  sessionId: string,
  messages: readonly NewMessage[],
  { unsynced, limits }: { readonly unsynced: readonly Message[]; readonly limits: SessionLimits },
): Promise<'missing' | 'ended' | 'full' | readonly Taken[]> {
  const session = await lockSession(connection, sessionId);
  if (session === null) return 'missing';
  const wanted: Wanted[] = [...unsynced];
  const before = new Set(unsynced.map((m) => m.messageId));
  for (const m of messages) if (!before.has(m.messageId)) wanted.push({ ...m, position: null });
  const stored = await findPositions(
    connection,
    sessionId,
    wanted.map((m) => m.messageId),
  );
  const taken = await findTakenPositions(connection, sessionId, positionsOf(wanted));
  const placed = placeMessages(wanted, { lastPosition: session.lastPosition, stored, taken });
  const isNew = new Set(messages.map((m) => m.messageId));
  const counts = withMessages(session, placed.fresh, placed.lastPosition);
  if (placed.fresh.some((m) => isNew.has(m.messageId) && !before.has(m.messageId))) {
    if (session.state !== 'open') return 'ended';
    if (counts.messages > limits.messages || counts.bytes > limits.bytes) return 'full';
  }
  const insert = insertMessages([{ sessionId, fresh: placed.fresh }]);
  if (insert.length > 0) {
    await connection.batch([
      ...insert,
      updateSession(counts, {
        set: 'active_at = UTC_TIMESTAMP(3), detached_at = UTC_TIMESTAMP(3)',
        values: [],
      }),
    ]);
  }
  const all = new Map([...stored, ...placed.fresh.map((m) => [m.messageId, m.position] as const)]);
  const asked = new Map(messages.map((m) => [m.messageId, all.get(m.messageId) as number]));
  const counted = await countQuestions(connection, sessionId, asked);
  return messages.map((m) => ({
    ...(counted.get(m.messageId) as Taken),
    isReplay: stored.has(m.messageId) || before.has(m.messageId),
  }));
}
