import { PipelineError } from '../../event/fault.ts';
import type { StoredSessions } from '../../sessions/ports.ts';
import { type Connection, inTransaction, type Statement, withConnection } from '../connection.ts';
import { erasedAt } from '../erase-user.ts';
import { isDuplicate } from '../errors.ts';
import type { Store } from '../open-store.ts';
import { type MessageRow, type SessionRow, selectMessages, selectSession, toMessage, toSession } from './rows.ts';
import { countQuestions, findPositions, insertSessions } from './statements.ts';
import { takeMessages } from './take-messages.ts';
import { writeSessions } from './write-sessions.ts';

/** The sessions of `chat_sessions`, and their messages. */
export function storedSessions(store: Store, deadlineMs: number): StoredSessions {
  const transaction = <T>(work: (connection: Connection) => Promise<T>) =>
    onceMoreIfDeadlocked(() => inTransaction(store, deadlineMs, work));
  const run = <T>(...statement: Statement) =>
    withConnection(store, deadlineMs, (connection) => connection.query<T>(...statement));

  return {
    async create(head) {
      try {
        await run(...insertSessions([head]));
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

    erasedAt: (sessionId) => erasedAt(store, sessionId, deadlineMs),

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
