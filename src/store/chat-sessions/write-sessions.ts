import { PipelineError } from '../../event/fault.ts';
import type { Message, SessionWrite, StoredSession, Written } from '../../sessions/ports.ts';
import type { Connection, Statement } from '../connection.ts';
import { isDuplicate } from '../errors.ts';
import { placeMessages } from './place-messages.ts';
import { type SessionRow, selectSession, toSession } from './rows.ts';
import {
  findPositions,
  findTakenPositions,
  insertMessages,
  insertSessions,
  orLock,
  positionsOf,
  updateSession,
  withMessages,
} from './statements.ts';

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
export async function writeSessions(
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
