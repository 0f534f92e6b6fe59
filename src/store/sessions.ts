import { PipelineError } from '../event/fault.ts';
import type {
  EndRequest,
  Message,
  NewMessage,
  Role,
  Session,
  SessionLimits,
  SessionState,
  SessionWrite,
  StoredSession,
  StoredSessions,
  Taken,
  Written,
} from '../sessions/ports.ts';
import { type Connection, inTransaction, type Statement, withConnection } from './connection.ts';
import { isDuplicate } from './errors.ts';
import type { Store } from './open-store.ts';
import { placeMessages, type Wanted } from './place-messages.ts';

/** The sessions of `chat_sessions`, and their messages. */
export function storedSessions(store: Store, deadlineMs: number): StoredSessions {
  const transaction = <T>(work: (connection: Connection) => Promise<T>) =>
    onceMoreIfDeadlocked(() => inTransaction(store, deadlineMs, work));
  const run = <T>(...statement: Statement) =>
    withConnection(store, deadlineMs, (connection) => connection.query<T>(...statement));

  return {
    async create(head) {
      try {
        await run(...insertSessions([{ ...head, activeAt: head.startedAt }]));
        return null;
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        return this.find(head.sessionId);
      }
    },

    async find(sessionId) {
      const [row] = await run<SessionRow[]>(`${selectSession} WHERE session_id = ?`, [sessionId]);
      return row === undefined ? null : toSession(row);
    },

    take: (sessionId, messages, options) =>
      transaction((connection) => takeMessages(connection, sessionId, messages, options)),

    findTaken: (sessionId, messageIds) =>
      withConnection(store, deadlineMs, async (connection) =>
        countQuestions(connection, sessionId, await findPositions(connection, sessionId, messageIds)),
      ),

    write: (writes, token) => transaction((connection) => writeSessions(connection, writes, token)),

    async lastMessages(sessionId, limit) {
      const rows = await run<MessageRow[]>(`${selectMessages} WHERE session_id = ? ORDER BY position DESC LIMIT ?`, [
        sessionId,
        limit,
      ]);
      return rows.map(toMessage).toReversed();
    },

    async messagesAfter(sessionId, position, limit) {
      const rows = await run<MessageRow[]>(
        `${selectMessages} WHERE session_id = ? AND position > ? ORDER BY position LIMIT ?`,
        [sessionId, position, limit],
      );
      return rows.map(toMessage);
    },

    async findMessage(sessionId, messageId) {
      const [row] = await run<MessageRow[]>(`${selectMessages} WHERE session_id = ? AND message_id = ?`, [
        sessionId,
        messageId,
      ]);
      return row === undefined ? null : toMessage(row);
    },

    async markEnded({ sessionId, endText }, eventId) {
      const { affectedRows } = await run<{ affectedRows: number }>(
        `UPDATE chat_sessions SET state = 'ended', event_id = ?, changed_at = UTC_TIMESTAMP(3)
         WHERE session_id = ? AND state = 'ending' AND end_request = ?`,
        [eventId, sessionId, endText],
      );
      return affectedRows === 1;
    },

    async reopen({ sessionId, endText }) {
      const { affectedRows } = await run<{ affectedRows: number }>(
        `UPDATE chat_sessions SET state = 'open', end_request = NULL, active_at = UTC_TIMESTAMP(3),
           changed_at = UTC_TIMESTAMP(3)
         WHERE session_id = ? AND state = 'ending' AND end_request = ?`,
        [sessionId, endText],
      );
      return affectedRows === 1;
    },

    async touch(sessionId) {
      await run('UPDATE chat_sessions SET active_at = UTC_TIMESTAMP(3) WHERE session_id = ?', [sessionId]);
    },

    async hasOpen() {
      const rows = await run<unknown[]>("SELECT 1 FROM chat_sessions WHERE state IN ('open', 'ending') LIMIT 1");
      return rows.length > 0;
    },

    async idleFor(ms, limit) {
      const rows = await run<{ session_id: string }[]>(
        `SELECT session_id FROM chat_sessions
         WHERE state = 'open' AND active_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND ORDER BY active_at LIMIT ?`,
        [ms * 1_000, limit],
      );
      return rows.map((row) => row.session_id);
    },

    async endingFor(ms, limit) {
      const rows = await run<{ session_id: string }[]>(
        `SELECT session_id FROM chat_sessions
         WHERE state = 'ending' AND changed_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND LIMIT ?`,
        [ms * 1_000, limit],
      );
      return rows.map((row) => row.session_id);
    },

    async detached(limit) {
      const rows = await run<{ session_id: string; detached_at: Date }[]>(
        `SELECT session_id, detached_at FROM chat_sessions WHERE detached_at > '1000-01-01'
         ORDER BY detached_at LIMIT ?`,
        [limit],
      );
      return rows.map((row) => ({ sessionId: row.session_id, detachedAt: row.detached_at }));
    },

    async attach(sessions) {
      if (sessions.length === 0) return;
      await run('UPDATE chat_sessions SET detached_at = NULL WHERE (session_id, detached_at) IN (?)', [
        sessions.map((s) => [s.sessionId, s.detachedAt]),
      ]);
    },
  };
}

/** The winner of a deadlock is through: the loser may do all of it again, because messages are known by their ids. */
async function onceMoreIfDeadlocked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PipelineError && error.code === 'DATABASE_DEADLOCK') return work();
    throw error;
  }
}

const selectSession = `SELECT session_id, user_id, bot_type, bot_id, bot_name, agent_tag, state, started_at, active_at,
  message_count, question_count, last_position, text_bytes, sync_token, end_request, event_id FROM chat_sessions`;
const selectMessages = 'SELECT message_id, position, role, sent_at, text FROM chat_messages';

type SessionRow = {
  session_id: string;
  user_id: string;
  bot_type: string;
  bot_id: string;
  bot_name: string;
  agent_tag: string | null;
  state: SessionState;
  started_at: Date;
  active_at: Date;
  message_count: number;
  question_count: number;
  last_position: number;
  text_bytes: number;
  sync_token: number;
  end_request: string | null;
  event_id: string | null;
};

type MessageRow = { message_id: string; position: number; role: Role; sent_at: Date; text: string };

function toSession(r: SessionRow): StoredSession {
  return {
    sessionId: r.session_id,
    userId: r.user_id,
    botType: r.bot_type,
    botId: r.bot_id,
    botName: r.bot_name,
    topicId: r.agent_tag,
    state: r.state,
    startedAt: r.started_at,
    activeAt: r.active_at,
    messages: r.message_count,
    questions: r.question_count,
    lastPosition: r.last_position,
    bytes: r.text_bytes,
    end: r.end_request === null ? null : (JSON.parse(r.end_request) as EndRequest),
    endText: r.end_request,
    eventId: r.event_id,
  };
}

function toMessage(r: MessageRow): Message {
  return { messageId: r.message_id, position: r.position, role: r.role, sentAt: r.sent_at, text: r.text };
}

function insertSessions(heads: readonly SessionWrite['session'][], orElse = ''): Statement {
  return [
    `INSERT INTO chat_sessions
       (session_id, user_id, bot_type, bot_id, bot_name, agent_tag, started_at, active_at, changed_at)
     VALUES ${heads.map(() => '(?,?,?,?,?,?,?,?,UTC_TIMESTAMP(3))').join(',')} ${orElse}`,
    heads.flatMap((h) => [
      ...[h.sessionId, h.userId, h.botType, h.botId, h.botName, h.topicId],
      ...[h.startedAt, h.activeAt],
    ]),
  ];
}

/** Also locks a row that is there. */
const orLock = 'ON DUPLICATE KEY UPDATE session_id = chat_sessions.session_id';

async function lockSession(connection: Connection, sessionId: string): Promise<StoredSession | null> {
  const [row] = await connection.query<SessionRow[]>(`${selectSession} WHERE session_id = ? FOR UPDATE`, [sessionId]);
  return row === undefined ? null : toSession(row);
}

type Counts = Pick<Session, 'sessionId' | 'messages' | 'questions' | 'lastPosition' | 'bytes'>;

function withMessages(session: Counts, fresh: readonly Message[], lastPosition: number): Counts {
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
function updateSession(counts: Counts, more: { readonly set: string; readonly values: readonly unknown[] }): Statement {
  return [
    `UPDATE chat_sessions SET message_count = ?, question_count = ?, last_position = ?, text_bytes = ?, ${more.set},
       changed_at = UTC_TIMESTAMP(3)
     WHERE session_id = ?`,
    [counts.messages, counts.questions, counts.lastPosition, counts.bytes, ...more.values, counts.sessionId],
  ];
}

function insertMessages(all: readonly { sessionId: string; fresh: readonly Message[] }[]): Statement[] {
  const values = all.flatMap(({ sessionId, fresh }) =>
    fresh.flatMap((m) => [sessionId, m.position, m.messageId, m.role, m.sentAt, m.text]),
  );
  if (values.length === 0) return [];
  const rows = Array(values.length / 6)
    .fill('(?,?,?,?,?,?)')
    .join(',');
  return [[`INSERT INTO chat_messages (session_id, position, message_id, role, sent_at, text) VALUES ${rows}`, values]];
}

async function findPositions(
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

async function findTakenPositions(
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
async function countQuestions(
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

/** Takes messages while Redis is away, with those that this process has taken and Redis may have lost. */
async function takeMessages(
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

function positionsOf(wanted: readonly Wanted[]): number[] {
  return wanted.flatMap(({ position }) => (position === null ? [] : [position]));
}

type Plan = {
  readonly write: SessionWrite;
  readonly session: StoredSession;
  fresh: readonly Message[];
  moved: readonly string[];
  lastPosition: number;
};

/**
 * Two round trips: create and lock the sessions, then insert and count. If some messages are there already, or their
 * places are taken, the second one fails as a whole, and what is there is looked up first.
 */
async function writeSessions(
  connection: Connection,
  writes: readonly SessionWrite[],
  token: number,
): Promise<readonly Written[]> {
  // In one order, so that two processes with the same sessions lock them one after the other.
  const sorted = writes.toSorted((a, b) => (a.session.sessionId < b.session.sessionId ? -1 : 1));
  const [, rows] = (await connection.batch([
    insertSessions(
      sorted.map((w) => w.session),
      orLock,
    ),
    [
      `${selectSession} FORCE INDEX (PRIMARY) WHERE session_id IN (?) ORDER BY session_id FOR UPDATE`,
      [sorted.map((w) => w.session.sessionId)],
    ],
  ])) as [unknown, SessionRow[]];
  const locked = new Map(rows.map((row) => [row.session_id, row]));
  const answers: Written[] = [];
  const plans: Plan[] = [];
  for (const write of sorted) {
    const { sessionId } = write.session;
    const row = locked.get(sessionId);
    if (row === undefined)
      throw new PipelineError('transient', 'ROW_VANISHED', 'a session was deleted while it was written');
    if (row.user_id !== write.session.userId) answers.push({ kind: 'foreign', sessionId, stored: 0 });
    else if (token > 0 && row.sync_token > token)
      answers.push({ kind: 'fenced', sessionId, stored: 0, token: row.sync_token });
    else
      plans.push({
        write,
        session: toSession(row),
        fresh: write.messages,
        moved: [],
        lastPosition: write.messages.at(-1)?.position ?? 0,
      });
  }
  if (plans.length > 0) {
    try {
      await connection.batch([...insertMessages(plans.map(toInsert)), ...plans.map((plan) => updateOf(plan, token))]);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      for (const plan of plans) await replan(connection, plan);
      await connection.batch([...insertMessages(plans.map(toInsert)), ...plans.map((plan) => updateOf(plan, token))]);
    }
  }
  for (const { session, fresh, moved } of plans)
    answers.push({ kind: 'written', sessionId: session.sessionId, stored: fresh.length, moved, state: session.state });
  return answers;
}

function toInsert({ session, fresh }: Plan) {
  return { sessionId: session.sessionId, fresh };
}

async function replan(connection: Connection, plan: Plan): Promise<void> {
  const { messages } = plan.write;
  if (messages.length === 0) return;
  const { sessionId, lastPosition } = plan.session;
  const stored = await findPositions(
    connection,
    sessionId,
    messages.map((m) => m.messageId),
  );
  const taken = await findTakenPositions(connection, sessionId, positionsOf(messages));
  Object.assign(plan, placeMessages(messages, { lastPosition, stored, taken }));
}

/** A session that ends keeps the first end that it was given. */
function updateOf({ write, session, fresh, lastPosition }: Plan, token: number): Statement {
  const isEnding = write.end !== null && session.state === 'open';
  const active = Math.max(session.activeAt.getTime(), write.session.activeAt.getTime());
  return updateSession(withMessages(session, fresh, lastPosition), {
    set: `active_at = ?, sync_token = GREATEST(sync_token, ?)${isEnding ? ", state = 'ending', end_request = ?" : ''}`,
    values: [new Date(active), token, ...(isEnding ? [JSON.stringify(write.end)] : [])],
  });
}
