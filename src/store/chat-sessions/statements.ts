import type { Message, Session, SessionHead, StoredSession, Taken } from '../../sessions/ports.ts';
import type { Connection, Statement } from '../connection.ts';
import type { Wanted } from './place-messages.ts';
import { type SessionRow, selectSession, toSession } from './rows.ts';

/** Without `activeAt`: active now, by the clock of the database, which also says who is idle. */
export function insertSessions(
  heads: readonly (SessionHead & Partial<Pick<Session, 'activeAt'>>)[],
  orElse = '',
): Statement {
  return [
    `INSERT INTO chat_sessions
       (session_id, user_id, bot_type, bot_id, bot_name, agent_tag, started_at, active_at, changed_at)
     VALUES ${heads.map(() => '(?,?,?,?,?,?,?,COALESCE(?,UTC_TIMESTAMP(3)),UTC_TIMESTAMP(3))').join(',')} ${orElse}`,
    heads.flatMap((h) => [
      ...[h.sessionId, h.userId, h.botType, h.botId, h.botName, h.topicId],
      ...[h.startedAt, h.activeAt ?? null],
    ]),
  ];
}

/** Also locks a row that is there. */
export const orLock = 'ON DUPLICATE KEY UPDATE session_id = chat_sessions.session_id';

export async function lockSession(connection: Connection, sessionId: string): Promise<StoredSession | null> {
  const [row] = await connection.query<SessionRow[]>(`${selectSession} WHERE session_id = ? FOR UPDATE`, [sessionId]);
  return row === undefined ? null : toSession(row);
}

export type Counts = Pick<Session, 'sessionId' | 'messages' | 'questions' | 'lastPosition' | 'bytes'>;

export function withMessages(session: Counts, fresh: readonly Message[], lastPosition: number): Counts {
  return {
    sessionId: session.sessionId,
    messages: session.messages + fresh.length,
    questions: session.questions + fresh.filter((m) => m.role === 'user').length,
    lastPosition: Math.max(session.lastPosition, lastPosition),
    bytes: session.bytes + bytesOf(fresh),
  };
}

function bytesOf(messages: readonly { readonly text: string }[]): number {
  return messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
}

/** The row is locked: nobody else counts at the same time. */
export function updateSession(
  counts: Counts,
  more: { readonly set: string; readonly values: readonly unknown[] },
): Statement {
  return [
    `UPDATE chat_sessions SET message_count = ?, question_count = ?, last_position = ?, text_bytes = ?, ${more.set},
       changed_at = UTC_TIMESTAMP(3)
     WHERE session_id = ?`,
    [counts.messages, counts.questions, counts.lastPosition, counts.bytes, ...more.values, counts.sessionId],
  ];
}

export function insertMessages(all: readonly { sessionId: string; fresh: readonly Message[] }[]): Statement[] {
  const values = all.flatMap(({ sessionId, fresh }) =>
    fresh.flatMap((m) => [sessionId, m.position, m.messageId, m.role, m.sentAt, m.text]),
  );
  if (values.length === 0) return [];
  const rows = Array(values.length / 6)
    .fill('(?,?,?,?,?,?)')
    .join(',');
  return [[`INSERT INTO chat_messages (session_id, position, message_id, role, sent_at, text) VALUES ${rows}`, values]];
}

export async function findPositions(
  connection: Connection,
  sessionId: string,
  messageIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await connection.query<{ message_id: string; position: number }[]>(
    'SELECT message_id, position FROM chat_messages WHERE session_id = ? AND message_id IN (?)',
    [sessionId, messageIds],
  );
  return new Map(rows.map((row) => [row.message_id, row.position]));
}

export async function findTakenPositions(
  connection: Connection,
  sessionId: string,
  positions: readonly number[],
): Promise<Set<number>> {
  if (positions.length === 0) return new Set();
  const rows = await connection.query<{ position: number }[]>(
    'SELECT position FROM chat_messages WHERE session_id = ? AND position IN (?)',
    [sessionId, positions],
  );
  return new Set(rows.map((row) => row.position));
}

/** As many user messages as there were up to each of them. */
export async function countQuestions(
  connection: Connection,
  sessionId: string,
  positions: ReadonlyMap<string, number>,
): Promise<Map<string, Taken>> {
  const taken = new Map<string, Taken>();
  for (const [messageId, position] of positions) {
    const [row] = await connection.query<{ n: number }[]>(
      "SELECT COUNT(*) AS n FROM chat_messages WHERE session_id = ? AND position <= ? AND role = 'user'",
      [sessionId, position],
    );
    taken.set(messageId, { position, questions: Number(row?.n), isReplay: true });
  }
  return taken;
}

export function positionsOf(wanted: readonly Wanted[]): number[] {
  return wanted.flatMap(({ position }) => (position === null ? [] : [position]));
}
